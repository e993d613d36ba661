"""What becomes of the network that all cameras share when it, or the GPU that fits images in for it, fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import BlobRuntime, picture
from graph import wait_until
from rclpy.logging import get_logger

from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.pipeline import Fitted, Pipeline
from qdtrack_model.tracking import QuasiDenseTracker
from qdtrack_ros.network import Health, Network, NetworkDown

LIMIT = 3


class Faulty(Pipeline):
    """A pipeline whose GPU is broken from a moment on; says when it was closed, and by how many it was used then."""

    def __init__(self) -> None:
        super().__init__(BlobRuntime(), QuasiDenseTracker(QuasiDenseConfig()))
        self.broken = self.closed = False
        self.users, self.used_when_closed = 0, 0
        self.held = threading.Event()
        self.held.set()

    def fit(self, images: Any) -> Fitted:
        assert not self.closed
        self.users += 1
        self.held.wait(30)
        self.users -= 1
        if self.broken:
            raise RuntimeError("the GPU refuses a copy to it: an illegal memory access was encountered")
        return super().fit(images)

    def close(self) -> None:
        self.closed, self.used_when_closed = True, self.users
        super().close()


@pytest.fixture
def pipelines() -> list[Faulty]:
    """Those that were made."""
    return []


@pytest.fixture
def failed() -> list[str]:
    return []


@pytest.fixture
def network(request: pytest.FixtureRequest, pipelines: list[Faulty], failed: list[str]) -> Iterator[Network]:
    def load() -> Faulty:
        pipelines.append(Faulty())
        return pipelines[-1]

    made = Network(load(), load, LIMIT, getattr(request, "param", True), failed.append, get_logger("test"))
    yield made
    made.close()


IMAGE = [picture((40, 100, 40, 80, (40, 40, 250)))]


def test_a_gpu_that_cannot_even_fit_images_in_is_rebuilt(network: Network, pipelines: list[Faulty]) -> None:
    pipelines[0].broken = True
    for _ in range(LIMIT):
        with pytest.raises(RuntimeError, match="illegal memory access"):
            network.fit(IMAGE)
    wait_until(lambda: network.health is Health.PROBATION, "the network to be rebuilt")
    assert pipelines[0].closed and network.pipeline is pipelines[1]
    assert len(network.infer(network.fit(IMAGE))[0]) == 1
    assert network.health is Health.WORKING


@pytest.mark.parametrize("network", [False], indirect=True)
def test_without_rebuilding_it_has_failed(network: Network, pipelines: list[Faulty], failed: list[str]) -> None:
    pipelines[0].broken = True
    for _ in range(LIMIT):
        with pytest.raises(RuntimeError, match="illegal memory access"):
            network.fit(IMAGE)
    assert network.health is Health.FAILED and len(failed) == 1 and "3 times in a row" in failed[0]
    with pytest.raises(NetworkDown, match="failed for good"):
        network.fit(IMAGE)
    assert len(failed) == 1


def test_images_that_are_none_are_no_fault_of_the_network(network: Network) -> None:
    for _ in range(2 * LIMIT):
        with pytest.raises(ValueError, match="drop the alpha channel"):
            network.fit([np.zeros((4, 5, 4), np.uint8)])
    assert network.health is Health.WORKING
    assert len(network.infer(network.fit(IMAGE))[0]) == 1


def test_it_is_not_closed_while_images_are_fitted_in(network: Network, pipelines: list[Faulty]) -> None:
    first, before = pipelines[0], network.fit(IMAGE)
    first.held.clear()
    beside = threading.Thread(target=lambda: network.fit(IMAGE))
    beside.start()
    wait_until(lambda: first.users == 1, "an image to be fitted in")
    first.runtime.infer = lambda images: 1 / 0  # type: ignore[method-assign, assignment]
    for _ in range(LIMIT):
        with pytest.raises(ZeroDivisionError):
            network.infer(before)
    assert network.health is Health.REBUILDING and not first.closed
    with pytest.raises(NetworkDown, match="being rebuilt"):
        network.fit(IMAGE)
    first.held.set()
    beside.join(30)
    wait_until(lambda: network.health is Health.PROBATION, "the network to be rebuilt")
    assert first.closed and first.used_when_closed == 0
    with pytest.raises(NetworkDown, match="was rebuilt since"):
        network.infer(before)  # what it lies in may be gone
    assert network.decode is None and len(network.infer(network.fit(IMAGE))[0]) == 1
