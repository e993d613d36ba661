"""Launch the tracker node for one camera.

``ros2 launch qdtrack tracker.launch.py image:=/camera/image_raw``; every argument: ``--show-args``.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from qdtrack_ros import launching

_ARGUMENTS = {
    **launching.NODE,
    **launching.params_file("tracker.yaml"),
    **launching.ON_A_VEHICLE,
    **launching.TOPICS,
    **launching.DEPTH,
    **launching.RVIZ,
}


def _tracker(context: LaunchContext) -> list[Node]:
    return [launching.tracker(context, **launching.respawning(context))]


def generate_launch_description() -> LaunchDescription:
    """The arguments, the node that they make, and RViz where it is asked for."""
    return LaunchDescription([
        *launching.declare(_ARGUMENTS),
        OpaqueFunction(function=_tracker),
        launching.rviz(),
    ])  # fmt: skip
