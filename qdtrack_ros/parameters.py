"""The node's parameters: declared, read and validated by their table, which also writes docs/parameters.md.

``python -m qdtrack_ros.parameters > docs/parameters.md``
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from qdtrack_model.config import ConfigError
from qdtrack_ros.specifications import KIND_NAMES, SPECIFICATIONS, TRACKER_PREFIX


def unknown_keys(names: Iterable[str]) -> list[str]:
    """One line for each name that is no parameter of this node, with the closest one that is."""
    lines = []
    for name in names:
        if name in SPECIFICATIONS or name == "use_sim_time" or name.startswith(("qos_overrides.", "start_type_")):
            continue
        close = difflib.get_close_matches(name, SPECIFICATIONS, n=1)
        lines.append(f"unknown parameter {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return lines


def declare(node: Node) -> None:
    """Declare every parameter.

    Raises:
        ConfigError: a start value is of the wrong type or out of range, or a ``tracker.*`` key is unknown.
    """
    overrides: Mapping[str, Parameter[Any]] = node._parameter_overrides  # rclpy has no public way to see the undeclared
    for line in unknown_keys(overrides):
        if line.startswith(f"unknown parameter '{TRACKER_PREFIX}"):
            raise ConfigError(line)
        node.get_logger().warning(f"{line}: ignored")
    for specification in SPECIFICATIONS.values():
        value = overrides[specification.name].value if specification.name in overrides else specification.default
        problem = specification.problem(value)
        if problem:
            raise ConfigError(problem)
        node.declare_parameter(specification.name, specification.default, specification.descriptor())


def value(node: Node, name: str) -> Any:
    """The value of a parameter, None where it is unset; whole numbers come as float where a float is meant."""
    held = node.get_parameter(name).value
    return float(held) if SPECIFICATIONS[name].kind is float and held is not None else held


def values(node: Node) -> dict[str, Any]:
    """The values of all parameters."""
    return {name: value(node, name) for name in SPECIFICATIONS}


def tracker_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The tracker's among parameters, where they are set, by their names in its configuration."""
    return {
        name.removeprefix(TRACKER_PREFIX): held
        for name, held in values.items()
        if name.startswith(TRACKER_PREFIX) and held is not None
    }


def refusal(parameters: Iterable[Parameter[Any]], state: str) -> str | None:
    """Why these new values cannot be taken in a state of the node, or None."""
    for parameter in parameters:
        specification = SPECIFICATIONS.get(parameter.name)
        if specification is None:
            continue
        if parameter.value is None:  # rclpy would undeclare it, and then it could not be set again
            return f"{parameter.name} cannot be deleted"
        problem = specification.problem(parameter.value)
        if problem:
            return problem
        if state not in ("unconfigured", "finalized") and specification.change == "unconfigured":
            return f"{parameter.name} is read when the node is configured: deactivate and clean up first"
        if state == "configuring" and parameter.name.startswith(TRACKER_PREFIX):
            return f"{parameter.name} was read just now: set it when the node is configured"
    return None


_CHANGES = {"never": "at the start only", "unconfigured": "while unconfigured", "always": "at any time"}


def _markdown() -> str:
    """The text of docs/parameters.md."""
    lines = [
        "# Parameters of the tracker node",
        "",
        "Written by `python -m qdtrack_ros.parameters > docs/parameters.md`; `ros2 param describe` shows the same.",
        "A complete parameter file is `config/node/tracker.yaml`. A value that is of the wrong type or out of range is",
        "refused with the reason, and so is one set at a time when it would have no effect.",
        "",
        "| Parameter | Type | Default | Range | Can be set | Meaning |",
        "|---|---|---|---|---|---|",
    ]
    for one in SPECIFICATIONS.values():
        bounds = f"{one.lowest:g} to {one.highest:g}" if one.lowest is not None else ", ".join(one.choices)
        default = "as trained" if one.default is None else str(one.default).lower() if one.kind is bool else one.default
        cells = [f"`{one.name}`", KIND_NAMES[one.kind], str(default), bounds, _CHANGES[one.change], one.description]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "`as trained`: the weights file holds tracker settings tuned for its network; a value set here replaces that",
        "one setting and leaves the others. Times are seconds of the images' header stamps. Weights of the",
        "presets lvis and tao bring the TAO tracker, which has `init_score`, `object_score`, `match_score`,",
        "`memory_span`, `momentum` and the three settings that the table says are its own. FairMOT's tracker has",
        "`memory_span`, `momentum`, `metric` (cosine or euclidean) and those that the table says are its own. All",
        "other settings are of the quasi-dense tracker. A setting or value that the tracker at hand does not have is",
        "refused by name at configure.",
        "",
        "The QoS of every topic can be overridden as in every ROS 2 node, for example",
        "`qos_overrides./image.subscription.reliability: reliable`. Without one the node subscribes to images as they",
        "are offered: reliable where every publisher is, best effort otherwise.",
        "",
        "Uncompressed images larger than some 500 KB: Fast DDS loses most of them at its default settings, between",
        "processes of one machine too. Give the camera driver and the node `config/node/fastdds_large_images.xml`, as",
        "[launching](launching.md#raw-images-and-fast-dds) says, or use the camera's compressed topic.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(_markdown())
