"""Every process that runs these tests has a ROS graph of its own, on this machine only.

Each test module begins with ``pytest.importorskip("qdtrack.msg", ...)``: it skips, with the reason, without ROS.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers beside the tests

# Before rclpy is imported, which reads the second once.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"


@pytest.fixture(scope="session")
def domain() -> Iterator[int]:
    """A ROS domain that no other process of tests on this machine has: the first free one from ROS_DOMAIN_ID on."""
    from domain_coordinator import domain_id  # only now: where ROS is missing the tests skip themselves before

    first = int(os.environ.get("ROS_DOMAIN_ID") or 1)
    with domain_id(itertools.count(first).__next__) as number:
        yield number


@pytest.fixture(scope="session", autouse=True)
def context(domain: int) -> Iterator[None]:
    """rclpy initialised once for all tests of this process; the processes that they start are in its domain, too."""
    import rclpy

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROS_DOMAIN_ID", str(domain))
        rclpy.init()
        yield
        rclpy.try_shutdown()


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The ``Bench`` of the test's module, made with what the test is parametrised by, both of its nodes spun."""
    from graph import running

    with running(request.module.Bench(**getattr(request, "param", {}))) as made:
        yield made


@pytest.fixture
def tf(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """tf2_ros: the real one where it is installed, elsewhere one that stands in for it."""
    if importlib.util.find_spec("tf2_ros") is None:
        monkeypatch.syspath_prepend(str(Path(__file__).parent / "standins"))
    yield importlib.import_module("tf2_ros")
    if "standins" in str(sys.modules["tf2_ros"].__file__):
        del sys.modules["tf2_ros"]
