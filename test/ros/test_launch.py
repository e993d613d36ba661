"""The launch file, where ROS brings launch: its arguments are described, and it starts what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

launch = pytest.importorskip("launch", reason="needs a ROS distribution's launch (there is none on PyPI)")
pytest.importorskip("launch_ros", reason="needs a ROS distribution's launch_ros (there is none on PyPI)")

ROOT = Path(__file__).parents[2]


def description() -> Any:
    path = ROOT / "launch" / "tracker.launch.py"
    specification = importlib.util.spec_from_file_location("tracker_launch", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.generate_launch_description()


def started(**arguments: str) -> Any:
    """The node action that the launch file makes of these arguments."""
    context = launch.LaunchContext()
    context.launch_configurations.update({"params_file": str(ROOT / "config" / "tracker.yaml"), **arguments})
    nodes: list[Any] = []
    for entity in description().entities:
        nodes += entity.execute(context) or []
    assert len(nodes) == 1
    return nodes[0], context


def test_every_argument_is_described() -> None:
    arguments = {argument.name: argument.description for argument in description().get_launch_arguments()}
    assert {"namespace", "params_file", "use_sim_time", "image", "image_compressed", "weights"} <= set(arguments)
    assert all(text.endswith(".") for text in arguments.values())


def test_topics_follow_the_image_argument() -> None:
    node, context = started(image="/front/image_raw", namespace="front")
    perform = launch.utilities.perform_substitutions
    remappings = {
        perform(context, list(source)): perform(context, list(target))
        for source, target in node.expanded_remapping_rules or node._Node__remappings
    }
    assert remappings == {"image": "/front/image_raw", "image/compressed": "/front/image_raw/compressed"}


def test_a_bad_truth_value_is_named() -> None:
    with pytest.raises(ValueError, match="autostart: got 'maybe', expected true or false"):
        started(autostart="maybe")
