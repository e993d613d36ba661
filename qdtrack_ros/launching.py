"""What the launch files share: their arguments, and the node these make. Only they import it: it needs launch_ros."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

NodeAction = TypeVar("NodeAction", bound=Node)
Arguments: TypeAlias = Mapping[str, tuple[Any, str]]  # name -> default (None: has to be given), description

LAYOUTS = ("optical", "z_up")  # of RViz, in config/node/
_RESPAWN_DELAY = 2.0  # seconds after which a node that ended is started again

NAMESPACE: Arguments = {"namespace": ("", "Namespace of the node and of its relative topics, for example perception.")}
USE_SIM_TIME: Arguments = {
    "use_sim_time": ("false", "Take the time from /clock, as for simulations and bags played with --clock.")
}
NODE: Arguments = {
    **NAMESPACE,
    "weights": ("", "Weights: a name shipped with qdtrack, or the path of a file; empty: as in params_file."),
    "runtime": ("", "What runs the network, auto for the best that is there; empty: as in params_file."),
    "precision": ("", "What the network computes in, such as fp16; empty: as in params_file."),
    "log_level": ("info", "Severity from which on the node logs: debug, info, warn or error."),
}
ON_A_VEHICLE: Arguments = {
    **USE_SIM_TIME,
    "autostart": ("", "true: configure and activate at once; false: wait for a manager; empty: as in params_file."),
    "respawn": ("true", f"Start the node again, {_RESPAWN_DELAY:.0f} s after it ended by itself."),
    "enclave": ("", "Enclave of SROS 2 that the node belongs to, for example /tracker; empty: that of its process."),
}
TOPICS: Arguments = {
    "image": ("image", "Topic of the camera's images, with or without /compressed behind it."),
    "image_compressed": ("", "Topic of its compressed images; empty: image with /compressed behind it."),
    "camera_info": ("", "Topic of its calibration; empty: camera_info beside image."),
}
TOPICS_OF_CAMERAS: Arguments = {
    "cameras": (None, "Names of the cameras, as in front,left."),
    "image": ("{camera}/image", "Topics of their images, for example /{camera}/image_raw; {camera} is the name."),
    "image_compressed": ("", "Topics of their compressed images; empty: image with /compressed behind it."),
    "camera_info": ("", "Topics of their calibrations; empty: camera_info beside image."),
}
DEPTH: Arguments = {
    "depth": ("", "Topic of depth images aligned with the images, which sets the parameter depth; empty: none.")
}
RVIZ: Arguments = {
    "rviz": ("false", "Show images and tracks in RViz, too."),
    "layout": (
        LAYOUTS[0],
        "Layout of RViz: optical for a camera's frame, z_up for base_link, or the path of a file.",
    ),
    "frame": ("", "Fixed frame of RViz: the frame_id of the images, or another for z_up; empty: as in the layout."),
}
CAMERA: Arguments = {"camera": ("", "Name of the camera of several that RViz shows.")}


def declare(arguments: Arguments) -> list[DeclareLaunchArgument]:
    """The actions that declare these arguments."""
    return [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments.items()
    ]


def file_of_ours(folder: str, name: str) -> PathJoinSubstitution:
    """An installed file of this package."""
    return PathJoinSubstitution([FindPackageShare("qdtrack"), folder, name])


def params_file(name: str) -> Arguments:
    """The argument ``params_file``; its default is one of ours."""
    return {"params_file": (file_of_ours("config/node", name), "Parameter file; arguments that are given win over it.")}


def given(context: LaunchContext, name: str) -> str:
    """The value of an argument, "" where there is none."""
    return context.launch_configurations.get(name, "").strip()


def truth(context: LaunchContext, name: str) -> bool:
    """The value of an argument that is true or false.

    Raises:
        ValueError: it is neither.
    """
    text = given(context, name)
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name}: got {text!r}, expected true or false")
    return text.lower() == "true"


def camera_names(context: LaunchContext) -> list[str]:
    """The argument ``cameras``, taken apart at commas and spaces."""
    return re.findall(r"[^,\s]+", given(context, "cameras"))


def tracker(
    context: LaunchContext,
    cameras: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    action: type[NodeAction] = Node,
    **options: Any,
) -> NodeAction:
    """The node, its topics and parameters as the arguments say.

    Args:
        cameras: names of several cameras; none for one whose topics have no name before them.
        parameters: values that no argument changes.
        action: what to make of it; a LifecycleNode is for launch files that make its transitions, and puts a node of
            its own into the graph.
        options: further ones of the action, such as ``on_exit``.
    """
    values: dict[str, Any] = {name: given(context, name) for name in ("weights", "runtime", "precision")}
    values = {name: value for name, value in values.items() if value}
    values.update({name: truth(context, name) for name in ("use_sim_time", "autostart") if given(context, name)})
    if cameras:
        values["cameras"] = list(cameras)
    if given(context, "depth"):
        values["depth"] = True
    enclave = given(context, "enclave")
    return action(
        package="qdtrack",
        executable="tracker_node",
        name="tracker",
        namespace=given(context, "namespace"),
        output="screen",
        parameters=[given(context, "params_file"), {**values, **(parameters or {})}],
        remappings=remappings(cameras or [""], {name: given(context, name) for name in (*TOPICS, *DEPTH)}),
        ros_arguments=["--log-level", given(context, "log_level"), *(["--enclave", enclave] if enclave else [])],
        **options,
    )


def respawning(context: LaunchContext) -> dict[str, Any]:
    """The options of :func:`tracker` that start a node again which ended, if the arguments say so."""
    return {"respawn": truth(context, "respawn"), "respawn_delay": _RESPAWN_DELAY}


def input_topics(arguments: Mapping[str, str]) -> dict[str, str]:
    """What the node calls its inputs, and their topics by the arguments of ``TOPICS`` and ``DEPTH``."""
    image = arguments["image"].removesuffix("/compressed")
    depth = arguments.get("depth")
    return {
        "image": image,
        "image/compressed": arguments["image_compressed"] or f"{image}/compressed",
        "camera_info": arguments["camera_info"] or posixpath.join(posixpath.dirname(image), "camera_info"),
        **({"depth": depth} if depth else {}),
    }


def remappings(cameras: Sequence[str], arguments: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every input of every camera, and its topic; ``{camera}`` in an argument is the camera's name.

    Raises:
        ValueError: several cameras would share a topic, or a name is missing.
    """
    topics = input_topics(arguments)
    for topic in topics.values():
        if len(cameras) > 1 and "{camera}" not in topic:
            raise ValueError(f"got the topic {topic!r} for {len(cameras)} cameras, expected {{camera}} in it")
        if "" in cameras and "{camera}" in topic:
            raise ValueError(f"got the topic {topic!r}, expected the name of the camera to be given, too")
    return [
        (posixpath.join(camera, name), topic.replace("{camera}", camera))
        for camera in cameras
        for name, topic in topics.items()
    ]


def rviz(**arguments: str) -> IncludeLaunchDescription:
    """RViz beside the node, where ``rviz`` says so; further arguments are those of the same names."""
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(file_of_ours("launch", "rviz.launch.py")),
        launch_arguments=arguments.items(),
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
