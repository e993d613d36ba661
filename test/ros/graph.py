"""A test's own node and the waiting it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

import pytest
from rclpy.executors import ExternalShutdownException, ShutdownException
from rclpy.node import Node

from qdtrack_ros.node import TrackerNode
from qdtrack_ros.transitions import Executor

# Seconds until a test gives up. Machines may be busy with much else, and a test that passes never waits them out.
PATIENCE = 120.0


@contextmanager
def spinning(*nodes: Node) -> Iterator[None]:
    """The nodes spun in a thread of their own, and destroyed afterwards."""
    executor = Executor()
    for node in nodes:
        executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException, ShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown(2.0)
        thread.join(2.0)
        for node in nodes:
            node.destroy_node()


class Bench(Protocol):
    """A node under test, and the one that stands for all around it."""

    node: TrackerNode
    other: Node


B = TypeVar("B", bound=Bench)


@contextmanager
def running(bench: B) -> Iterator[B]:
    """A bench with both nodes spun; the one under test gives everything back at the end."""
    with spinning(bench.node, bench.other):
        yield bench
        bench.node.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; a test that waits in vain fails saying for what."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE:.0f} s in vain for {what}"
        time.sleep(0.01)


def wait_for_words(capfd: pytest.CaptureFixture[str], words: str) -> str:
    """What a node of this process has logged, once ``words`` are in it."""
    said = ""

    def heard() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return words in said

    wait_until(heard, words)
    return said
