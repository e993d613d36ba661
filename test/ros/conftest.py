"""Every run of these tests has a ROS graph of its own, on this machine only.

Each test module begins with ``pytest.importorskip("qdtrack.msg", ...)``: it skips, with the reason, without ROS.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers beside the tests

# Before rclpy is imported: the domain and the checks of message fields are read once.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def context():
    """rclpy initialised once for all tests of this process."""
    rclpy = pytest.importorskip("rclpy")  # only now: where ROS is missing the tests skip themselves before

    rclpy.init()
    yield
    rclpy.try_shutdown()
