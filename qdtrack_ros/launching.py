"""What the launch files share: actions made of their arguments. Only they import it: it needs launch_ros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from qdtrack_ros.launch_arguments import (
    RESPAWN_DELAY,
    Arguments,
    Values,
    given,
    node_parameters,
    remappings,
    ros_arguments,
    truth,
)

NodeAction = TypeVar("NodeAction", bound=Node)


def declare(arguments: Arguments) -> list[DeclareLaunchArgument]:
    """The actions that declare these arguments."""
    return [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments.items()
    ]


def file_of_ours(folder: str, name: str) -> PathJoinSubstitution:
    """An installed file of this package."""
    return PathJoinSubstitution([FindPackageShare("qdtrack"), folder, name])


def params_file(name: str) -> DeclareLaunchArgument:
    """The argument ``params_file``; its default is one of ours."""
    return DeclareLaunchArgument(
        "params_file",
        default_value=file_of_ours("config/node", name),
        description="Parameter file; arguments that are given win over it.",
    )


def tracker(
    values: Values,
    cameras: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    action: type[NodeAction] = Node,
    **options: Any,
) -> NodeAction:
    """The node, its topics and parameters as the arguments say.

    Args:
        values: of the arguments.
        cameras: names of several cameras; none for one whose topics have no name before them.
        parameters: values that no argument changes.
        action: what to make of it; a LifecycleNode is for launch files that make its transitions, and puts a node of
            its own into the graph.
        options: further ones of the action, such as ``on_exit``.
    """
    return action(
        package="qdtrack",
        executable="tracker_node",
        name="tracker",
        namespace=given(values, "namespace"),
        output="screen",
        parameters=[given(values, "params_file"), {**node_parameters(values, cameras), **(parameters or {})}],
        remappings=remappings(values, cameras),
        ros_arguments=ros_arguments(values),
        **options,
    )


def respawning(values: Values) -> dict[str, Any]:
    """The options of :func:`tracker` that start a node again which ended, if the arguments say so."""
    return {"respawn": truth(values, "respawn"), "respawn_delay": RESPAWN_DELAY}


def rviz(**arguments: str) -> IncludeLaunchDescription:
    """RViz beside the node, where ``rviz`` says so; further arguments are those of the same names."""
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(file_of_ours("launch", "rviz.launch.py")),
        launch_arguments=arguments.items(),
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
