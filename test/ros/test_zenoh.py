"""The faults of test_recovery.py over Zenoh, where its middleware is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

LIMIT = 900.0  # seconds until the test gives up


@pytest.fixture
def router() -> Iterator[None]:
    """Zenoh's router, without which nodes do not find each other."""
    try:
        prefix = get_package_prefix("rmw_zenoh_cpp")
    except PackageNotFoundError:
        pytest.skip("rmw_zenoh_cpp is not installed (it comes with a ROS distribution, from Jazzy on)")
    with subprocess.Popen([str(Path(prefix, "lib", "rmw_zenoh_cpp", "rmw_zenohd"))]) as process:
        yield
        process.terminate()


@pytest.mark.slow
def test_the_faults_over_zenoh(router: None) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", str(Path(__file__).with_name("test_recovery.py"))]
    environment = {**os.environ, "RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
