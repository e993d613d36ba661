"""Launch the tracker node for one camera.

``ros2 launch qdtrack tracker.launch.py image:=/camera/image_raw``; every argument: ``--show-args``.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

_ARGUMENTS = {
    "namespace": ("", "Namespace of the node and its topics, for example front_camera."),
    "params_file": (
        PathJoinSubstitution([FindPackageShare("qdtrack"), "config", "tracker.yaml"]),
        "Parameter file; arguments that are given win over it.",
    ),
    "use_sim_time": ("false", "Take the time from /clock, as for simulations and bags played with --clock."),
    "image": ("image", "Topic of the camera; images that are not compressed are expected here."),
    "image_compressed": (
        [LaunchConfiguration("image"), "/compressed"],
        "Topic of the camera's compressed images; whichever of the two delivers first is used.",
    ),
    "weights": ("", "Weights: a name shipped with qdtrack, or the path of a file; empty: as in params_file."),
    "runtime": ("", "What runs the network, auto for the best that is there; empty: as in params_file."),
    "precision": ("", "What the network computes in, such as fp16; empty: as in params_file."),
    "autostart": ("", "true: configure and activate at once; false: wait for a manager; empty: as in params_file."),
    "log_level": ("info", "Severity from which on the node logs: debug, info, warn or error."),
}


def _node(context: LaunchContext) -> list[LifecycleNode]:
    given = {name: LaunchConfiguration(name).perform(context).strip() for name in _ARGUMENTS}
    # As text whatever they look like: weights called 123 are no number.
    parameters: dict[str, ParameterValue | bool] = {
        name: ParameterValue(given[name], value_type=str) for name in ("weights", "runtime", "precision") if given[name]
    }
    for name in ("use_sim_time", "autostart"):
        if given[name]:
            parameters[name] = _truth(name, given[name])
    node = LifecycleNode(
        package="qdtrack",
        executable="tracker_node",
        name="tracker",
        namespace=given["namespace"],
        output="screen",
        parameters=[given["params_file"], parameters],
        remappings=[("image", given["image"]), ("image/compressed", given["image_compressed"])],
        ros_arguments=["--log-level", given["log_level"]],
    )
    return [node]


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name}: got {text!r}, expected true or false")
    return text.lower() == "true"


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the node they remap and parametrise."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in _ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_node)])
