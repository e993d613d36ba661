"""The benchmarks of the node run and judge; its times are for people to read."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from qdtrack_model.structures import Tracks
from qdtrack_ros.replay.live import Played
from qdtrack_ros.replay.recorder import Received

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_cameras_are_served_alike() -> None:
    arguments = ["--cameras", "2", "--rate", "10", "--size", "1280x720", "--minutes", "0.1"]
    command = [sys.executable, str(ROOT / "benchmarks" / "node.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "ids                       20, 20 for 20 objects" in done.stdout
    counts = re.search(r"tracks came back for +(\d+), (\d+) images", done.stdout)
    assert counts is not None
    assert min(int(count) for count in counts.groups()) > 40


def played(back: int, processing: float, latency: float) -> Played:
    """Ten images, of which ``back`` came back after ``latency`` seconds; the node was busy for ``processing``."""
    sent = dict.fromkeys(range(10), 0.0)
    received = {stamp: Received(Tracks.empty(), latency) for stamp in range(back)}
    return Played("/camera/image", {stamp: stamp + 1 for stamp in sent}, sent, received, processing)


@pytest.mark.parametrize(
    ("alone", "beside", "age", "expected"),
    [(10, 9, 0.05, [True, True, True]), (9, 8, 0.05, [False, False, True]), (10, 10, 0.07, [True, True, False])],
)
def test_goals_of_the_reserve(alone: int, beside: int, age: float, expected: list[bool]) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_reserve", ROOT / "benchmarks" / "reserve.py")
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    goals = benchmark.goals(played(alone, 0.02, 0.03), played(beside, 0.03, 0.05), played(4, 0.03, age))
    assert list(goals.values()) == expected
