"""Launch RViz with qdtrack's layout: the image with the tracks over it, the overlay, and boxes in space.

``ros2 launch qdtrack rviz.launch.py image:=/camera/image_raw frame:=camera_optical_frame``
``ros2 launch qdtrack rviz.launch.py image:=/camera/image_raw layout:=z_up frame:=base_link``
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from qdtrack_ros import launching

_ARGUMENTS = {
    **launching.NAMESPACE,
    **launching.USE_SIM_TIME,
    **launching.TOPICS,
    **launching.CAMERA,
    **{name: launching.RVIZ[name] for name in ("layout", "frame")},
}


def _rviz(context: LaunchContext) -> list[Node]:
    frame = launching.given(context, "frame")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="rviz",
            namespace=launching.given(context, "namespace"),
            output="screen",
            arguments=["-d", _layout(context), *(["-f", frame] if frame else [])],
            parameters=[{"use_sim_time": launching.truth(context, "use_sim_time")}],
            remappings=_remappings(context),
        )
    ]


def _layout(context: LaunchContext) -> str:
    """The file of the layout: one of ours by its name, or any by its path.

    Raises:
        ValueError: it is neither.
    """
    layout = launching.given(context, "layout")
    if layout in launching.LAYOUTS:
        return launching.file_of_ours("config/node", f"{layout}.rviz").perform(context)
    if not Path(layout).is_file():
        raise ValueError(f"layout: got {layout!r}, expected {', '.join(launching.LAYOUTS)} or the path of a file")
    return layout


def _remappings(context: LaunchContext) -> list[tuple[str, str]]:
    """The topics of the layout, which are those of one camera without a namespace, and those of this node."""
    camera = launching.given(context, "camera")
    inputs = dict(launching.remappings([camera], {name: launching.given(context, name) for name in launching.TOPICS}))
    image, compressed, calibration = inputs.values()
    return [
        ("/image", image),
        ("/image/compressed", compressed),
        ("/camera_info", calibration),
        ("/image/camera_info", calibration),  # where RViz expects it for /image/compressed
        *((f"/tracker/{name}", posixpath.join("tracker", camera, name)) for name in ("markers", "overlay")),
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments, and RViz."""
    return LaunchDescription([*launching.declare(_ARGUMENTS), OpaqueFunction(function=_rviz)])
