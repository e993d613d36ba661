"""The benchmark of the node runs, serves every camera and keeps ids; its times are for people to read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

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
