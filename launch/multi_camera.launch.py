"""Launch one tracker node for several cameras.

``ros2 launch qdtrack multi_camera.launch.py cameras:=front,left image:=/{camera}/image_raw``
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from qdtrack_ros import launch_arguments, launching

_ARGUMENTS = {
    **launch_arguments.TOPICS_OF_CAMERAS,
    **launch_arguments.DEPTH,
    **launch_arguments.NODE,
    **launch_arguments.ON_A_VEHICLE,
    **launch_arguments.RVIZ,
    **launch_arguments.CAMERA,
}


def _tracker(context: LaunchContext) -> list[Node]:
    """How many topics it has is known only with its cameras."""
    cameras = launch_arguments.camera_names(launching.values_of(context, _ARGUMENTS))
    return [launching.tracker(_ARGUMENTS, cameras, **launching.respawning())]


def generate_launch_description() -> LaunchDescription:
    """The arguments, the node that they make, and RViz where it is asked for."""
    return LaunchDescription([
        *launching.declare(_ARGUMENTS),
        launching.params_file("multi_camera.yaml"),
        OpaqueFunction(function=_tracker),
        launching.rviz(_ARGUMENTS),
    ])  # fmt: skip
