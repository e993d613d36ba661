"""Launch one tracker node for several cameras.

``ros2 launch qdtrack multi_camera.launch.py cameras:=front,left image:=/{camera}/image_raw``
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from qdtrack_ros import launching

_ARGUMENTS = {
    **launching.TOPICS_OF_CAMERAS,
    **launching.DEPTH,
    **launching.NODE,
    **launching.params_file("multi_camera.yaml"),
    **launching.ON_A_VEHICLE,
    **launching.RVIZ,
    **launching.CAMERA,
}


def _tracker(context: LaunchContext) -> list[Node]:
    cameras = launching.camera_names(context)
    return [launching.tracker(context, cameras, **launching.respawning(context))]


def generate_launch_description() -> LaunchDescription:
    """The arguments, the node that they make, and RViz where it is asked for."""
    return LaunchDescription([
        *launching.declare(_ARGUMENTS),
        OpaqueFunction(function=_tracker),
        launching.rviz(),
    ])  # fmt: skip
