"""Launch RViz with qdtrack's layout: the image with the tracks over it, the overlay, and boxes in space.

``ros2 launch qdtrack rviz.launch.py image:=/camera/image_raw frame:=camera_optical_frame``
``ros2 launch qdtrack rviz.launch.py image:=/camera/image_raw layout:=z_up frame:=base_link``
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from qdtrack_ros import launching
from qdtrack_ros.launch_arguments import LAYOUTS, OF_RVIZ, Values, given, rviz_remappings


def _layout(values: Values) -> str:
    """The file of the layout: one of ours by its name, or any by its path.

    Raises:
        ValueError: it is neither.
    """
    layout = given(values, "layout")
    if layout in LAYOUTS:
        return f"{get_package_share_directory('qdtrack')}/config/node/{layout}.rviz"
    if not Path(layout).is_file():
        raise ValueError(f"layout: got {layout!r}, expected {', '.join(LAYOUTS)} or the path of a file")
    return layout


def _topic(name: str) -> launching.FromArguments:
    return launching.FromArguments(f"topic of {name}", OF_RVIZ, lambda values: rviz_remappings(values)[name])


def generate_launch_description() -> LaunchDescription:
    """The arguments, and RViz."""
    return LaunchDescription([
        *launching.declare(OF_RVIZ),
        Node(
            package="rviz2",
            executable="rviz2",
            name="rviz",
            namespace=LaunchConfiguration("namespace"),
            output="screen",
            # An empty frame is none: the layout's stays.
            arguments=[
                "-d",
                launching.FromArguments("layout", OF_RVIZ, _layout),
                "-f",
                LaunchConfiguration("frame"),
            ],
            parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time")}],
            remappings=[(name, _topic(name)) for name in rviz_remappings({"image": "image"})],
        ),
    ])  # fmt: skip
