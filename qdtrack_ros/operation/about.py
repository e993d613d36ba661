"""What a bug report has to say besides messages: parameters, versions, and what diagnostics said last."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

_PACKAGES = (
    "qdtrack", "rclpy", "numpy", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch", "torch_tensorrt",
    "rosbags",
)  # fmt: skip
_LEVELS = {
    DiagnosticStatus.OK: "OK",
    DiagnosticStatus.WARN: "WARN",
    DiagnosticStatus.ERROR: "ERROR",
    DiagnosticStatus.STALE: "STALE",
}


def about(node: Node, statuses: Iterable[DiagnosticStatus]) -> dict[str, Any]:
    """Two YAML files beside a bag: ``parameters``, which ``--params-file`` takes, and ``node``."""
    held = {name: parameter.value for name, parameter in sorted(node.get_parameters_by_prefix("").items())}
    values = {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in held.items()
        if value is not None
    }
    diagnostics = {
        one.name: {
            "level": _LEVELS[one.level],
            "message": one.message,
            "values": {pair.key: pair.value for pair in one.values},
        }
        for one in statuses
    }
    return {
        "parameters": {"/**": {"ros__parameters": values}},
        "node": {"name": node.get_fully_qualified_name(), "versions": _versions(), "diagnostics": diagnostics},
    }


def _versions() -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "ROS": os.environ.get("ROS_DISTRO", "unknown"),
        "RMW": get_rmw_implementation_identifier(),
        "opencv": cv2.__version__,
    }
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
