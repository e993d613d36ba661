"""Launch RViz with qdtrack's layout: the image with the tracks over it, the overlay, and boxes in space.

``ros2 launch qdtrack rviz.launch.py image:=/camera/image_raw frame:=camera_optical_frame``
``ros2 launch qdtrack rviz.launch.py image:=/camera/image_raw layout:=z_up frame:=base_link``
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from qdtrack_ros import launch_arguments, launching
from qdtrack_ros.launch_arguments import LAYOUTS, given, truth

_ARGUMENTS = {
    **launch_arguments.NAMESPACE,
    **launch_arguments.USE_SIM_TIME,
    **launch_arguments.TOPICS,
    **launch_arguments.CAMERA,
    **{name: launch_arguments.RVIZ[name] for name in ("layout", "frame")},
}


def _rviz(context: LaunchContext) -> list[Node]:
    values = context.launch_configurations
    frame = given(values, "frame")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="rviz",
            namespace=given(values, "namespace"),
            output="screen",
            arguments=["-d", _layout(context), *(["-f", frame] if frame else [])],
            parameters=[{"use_sim_time": truth(values, "use_sim_time")}],
            remappings=launch_arguments.rviz_remappings(values),
        )
    ]


def _layout(context: LaunchContext) -> str:
    """The file of the layout: one of ours by its name, or any by its path.

    Raises:
        ValueError: it is neither.
    """
    layout = given(context.launch_configurations, "layout")
    if layout in LAYOUTS:
        return launching.file_of_ours("config/node", f"{layout}.rviz").perform(context)
    if not Path(layout).is_file():
        raise ValueError(f"layout: got {layout!r}, expected {', '.join(LAYOUTS)} or the path of a file")
    return layout


def generate_launch_description() -> LaunchDescription:
    """The arguments, and RViz."""
    return LaunchDescription([*launching.declare(_ARGUMENTS), OpaqueFunction(function=_rviz)])
