"""What the launch files share: actions made of their arguments. Only they import it: it needs launch_ros."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

import yaml
from launch import LaunchContext, Substitution
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.substitutions import FindPackageShare

from qdtrack_ros.launch_arguments import (
    OF_RVIZ,
    RESPAWN_DELAY,
    Arguments,
    Values,
    enclave,
    input_names,
    node_parameters,
    remappings,
)

NodeAction = TypeVar("NodeAction", bound=Node)


def values_of(context: LaunchContext, arguments: Collection[str]) -> Values:
    """The values of these arguments; what else the launch files that include ours have set does not concern us."""
    found = context.launch_configurations
    return {name: found[name] for name in arguments if name in found}


class FromArguments(Substitution):
    """A text that is made of the values of arguments.

    Args:
        what: it is, for ``ros2 launch --print``.
        arguments: by name.
        make: the text of their values.
    """

    def __init__(self, what: str, arguments: Collection[str], make: Callable[[Values], str]) -> None:
        super().__init__()
        self._what, self._arguments, self._make = what, tuple(arguments), make

    def describe(self) -> str:
        """What ``ros2 launch --print`` shows."""
        return f"<{self._what}>"

    def perform(self, context: LaunchContext) -> str:
        """The text."""
        return self._make(values_of(context, self._arguments))


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
    arguments: Collection[str],
    cameras: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    action: type[NodeAction] = Node,
    **options: Any,
) -> NodeAction:
    """The node, its topics and parameters as the arguments say.

    Args:
        arguments: that the launch file declares, by name.
        cameras: names of several cameras; none for one whose topics have no name before them.
        parameters: values that no argument changes.
        action: what to make of it; a LifecycleNode is for launch files that make its transitions, and puts a node of
            its own into the graph.
        options: further ones of the action, such as ``on_exit``.
    """

    def own_parameters(values: Values) -> str:
        return _written({**node_parameters(values, cameras), **(parameters or {})})

    def topic(name: str) -> FromArguments:
        return FromArguments(f"topic of {name}", arguments, lambda values: remappings(values, cameras)[name])

    return action(
        package="qdtrack",
        executable="tracker_node",
        name="tracker",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params_file"),
            ParameterFile(FromArguments("parameters by arguments", arguments, own_parameters)),
        ],
        remappings=[(name, topic(name)) for name in input_names(cameras)],
        ros_arguments=[
            "--log-level",
            LaunchConfiguration("log_level"),
            "--enclave",
            FromArguments("enclave", arguments, enclave),
        ],
        **options,
    )


def respawning() -> dict[str, Any]:
    """The options of :func:`tracker` that start a node again which ended, if the argument ``respawn`` says so."""
    return {"respawn": LaunchConfiguration("respawn"), "respawn_delay": RESPAWN_DELAY}


def rviz(arguments: Collection[str], **values: str) -> IncludeLaunchDescription:
    """RViz beside the node, where ``rviz`` says so.

    Args:
        arguments: that the launch file declares, by name: those that RViz has, too, are the same there.
        values: of others.
    """
    others = {name: default or "" for name, (default, _) in OF_RVIZ.items() if name not in arguments}
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(file_of_ours("launch", "rviz.launch.py")),
        launch_arguments={**others, **values}.items(),
        condition=IfCondition(LaunchConfiguration("rviz")),
    )


def _written(parameters: Mapping[str, Any]) -> str:
    """A file of parameters, as launch_ros writes those of a mapping: which of ours are in it is known only now."""
    with NamedTemporaryFile("w", prefix="launch_params_", delete=False, encoding="utf-8") as file:
        yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}, file)
    return file.name
