"""Launch the tracker node for one camera.

``ros2 launch qdtrack tracker.launch.py image:=/camera/image_raw``; every argument: ``--show-args``.
"""

from __future__ import annotations

from launch import LaunchDescription

from qdtrack_ros import launch_arguments, launching

_ARGUMENTS = {
    **launch_arguments.NODE,
    **launch_arguments.ON_A_VEHICLE,
    **launch_arguments.TOPICS,
    **launch_arguments.DEPTH,
    **launch_arguments.RVIZ,
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, the node that they make, and RViz where it is asked for."""
    return LaunchDescription([
        *launching.declare(_ARGUMENTS),
        launching.params_file("tracker.yaml"),
        launching.tracker(_ARGUMENTS, **launching.respawning()),
        launching.rviz(_ARGUMENTS),
    ])  # fmt: skip
