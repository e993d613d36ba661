"""Replay a bag through the tracker: play it once the node is ready, and end when it has ended.

``ros2 launch qdtrack replay.launch.py bag:=drive image:=/camera/image_raw record:=tracks``
"""

from __future__ import annotations

from collections.abc import Callable

import lifecycle_msgs.msg
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler, Shutdown, TimerAction
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.events.process import ProcessExited
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState

from qdtrack_ros import launch_arguments, launching
from qdtrack_ros.launch_arguments import Values, given, truth

_DISCOVERY = 5.0  # seconds before the first message: participants that missed each other announce themselves every 3 s
_LAST_TRACKS = 3.0  # seconds after the last message, in which the tracks of the last images may still come

# Tracks, of one camera or of several. No pictures: the node draws them only for who subscribes.
_RECORDED = "/tracker/([^/]+/)?(tracks|detections|detections_3d|label_info|vision_info)$"
_ARGUMENTS = {
    "bag": (None, "Folder or file of the bag."),
    **launch_arguments.TOPICS,
    **launch_arguments.DEPTH,
    "image": (None, "Topic of the camera's images in the bag, with or without /compressed behind it."),
    "cameras": ("", "Names of several cameras, as in front,left; image is then /{camera}/image_raw, for example."),
    "rate": ("1.0", "Speed of the replay; 0.5 takes twice as long, for networks that do not keep up."),
    "loop": ("false", "Begin again at the end of the bag."),
    "record": ("", "Bag to write the tracks to; empty: none."),
    **launch_arguments.NODE,
    "namespace": ("replay", "Namespace of the node, which keeps its tracks apart from those in the bag."),
    **launch_arguments.RVIZ,
    **launch_arguments.CAMERA,
}


def _replay(context: LaunchContext) -> list[Action]:
    """How many topics it has is known only with its cameras, and events are about this very action."""
    values = launching.values_of(context, _ARGUMENTS)
    tracker = launching.tracker(
        _ARGUMENTS,
        launch_arguments.camera_names(values),
        parameters={"use_sim_time": True, "autostart": False},
        action=LifecycleNode,
        on_exit=_ended("the tracker has ended"),
    )
    configure = _transition(tracker, lifecycle_msgs.msg.Transition.TRANSITION_CONFIGURE)
    activate = _transition(tracker, lifecycle_msgs.msg.Transition.TRANSITION_ACTIVATE)
    failed = Shutdown(reason="the tracker could not be configured")
    return [
        RegisterEventHandler(OnProcessStart(target_action=tracker, on_start=[configure])),
        _on_state(tracker, "inactive", activate),
        _on_state(tracker, "active", _player(values)),
        _on_state(tracker, "unconfigured", failed),
        *_recorder(values),
        tracker,
    ]


def _transition(tracker: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(tracker), transition_id=transition))


def _on_state(tracker: LifecycleNode, state: str, action: Action) -> RegisterEventHandler:
    return RegisterEventHandler(
        OnStateTransition(target_lifecycle_node=tracker, goal_state=state, entities=[action], handle_once=True)
    )


def _player(values: Values) -> ExecuteProcess:
    command = ["ros2", "bag", "play", given(values, "bag"), "--disable-keyboard-controls"]
    command += ["--clock", "100", "--delay", str(_DISCOVERY), "--rate", given(values, "rate")]
    if truth(values, "loop"):
        command.append("--loop")
    return ExecuteProcess(cmd=command, output="screen", on_exit=_played)


def _ended(reason: str) -> Callable[[ProcessExited, LaunchContext], list[Action]]:
    """What to do when a process ends that is needed; a second Shutdown, on the way out, would be an error."""
    return lambda event, context: [] if context.is_shutdown else [Shutdown(reason=reason)]


def _played(event: ProcessExited, context: LaunchContext) -> list[Action]:
    if event.returncode != 0 or context.is_shutdown:
        return _ended("the bag could not be played")(event, context)
    return [TimerAction(period=_LAST_TRACKS, actions=[Shutdown(reason="the bag has ended")])]


def _recorder(values: Values) -> list[ExecuteProcess]:
    record = given(values, "record")
    if not record:
        return []
    # In simulated time, so that tracks and images have the same times in their bags.
    command = ["ros2", "bag", "record", "--output", record, "--use-sim-time"]
    command += ["--regex", f"^{_absolute(given(values, 'namespace'))}{_RECORDED}"]
    return [ExecuteProcess(cmd=command, output="screen", on_exit=_ended("the recorder has ended"))]


def _absolute(namespace: str) -> str:
    return f"/{namespace}".replace("//", "/").rstrip("/")


def generate_launch_description() -> LaunchDescription:
    """The arguments, the node, and what the bag needs around it."""
    return LaunchDescription([
        *launching.declare(_ARGUMENTS),
        launching.params_file("replay.yaml"),
        OpaqueFunction(function=_replay),
        launching.rviz(_ARGUMENTS, use_sim_time="true"),
    ])  # fmt: skip
