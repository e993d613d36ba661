"""The table of the node's parameters: what each is for, which values it takes, and when it can be set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.parameter import Parameter

from qdtrack_model.config import TRACKERS, ConfigError, from_mapping
from qdtrack_model.runtimes import PRECISIONS, RUNTIMES
from qdtrack_model.sensors.attention import class_scores

TRACKER_PREFIX = "tracker."
_KINDS: dict[type, Parameter.Type] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    list: Parameter.Type.STRING_ARRAY,
}
KIND_NAMES = {bool: "bool", int: "integer", float: "float", str: "string", list: "list of strings"}


@dataclass(frozen=True)
class Specification:
    """One parameter: ``change`` says when it can be set after the start; a default of None means unset."""

    name: str
    kind: type
    default: Any
    description: str
    change: Literal["never", "unconfigured", "always"]
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str | None] = lambda value: None  # what is wrong with a value of the right kind

    def problem(self, value: Any) -> str | None:
        """Why ``value`` cannot be taken, or None."""
        if value is None and self.default is None:
            return None
        number = self.kind is float and isinstance(value, int) and not isinstance(value, bool)
        if not (number or type(value) is self.kind):
            return f"{self.name}: got {value!r}, expected {KIND_NAMES[self.kind]}"
        if problem := self.check(value):
            return f"{self.name}: {problem}"
        if self.choices and value not in self.choices:
            return f"{self.name}: got {value!r}, expected one of {', '.join(self.choices)}"
        if self.lowest is not None and self.highest is not None and not self.lowest <= value <= self.highest:
            return f"{self.name}: got {value}, expected {self.lowest:g} to {self.highest:g}"
        if self.name.startswith(TRACKER_PREFIX):
            return _tracker_problem(self.name.removeprefix(TRACKER_PREFIX), value)
        return None

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(
            name=self.name, type=_KINDS[self.kind].value, description=self.description, read_only=self.change == "never"
        )
        # `problem` checks types: it takes a whole number for a float, and names the parameter where rclpy does not.
        descriptor.dynamic_typing = True
        if self.choices:
            descriptor.additional_constraints = f"one of {', '.join(self.choices)}"
        if self.lowest is not None and self.highest is not None:
            if self.kind is float:
                bounds = FloatingPointRange(from_value=float(self.lowest), to_value=float(self.highest))
                descriptor.floating_point_range = [bounds]
            else:
                descriptor.integer_range = [IntegerRange(from_value=int(self.lowest), to_value=int(self.highest))]
        return descriptor


def _tracker_problem(key: str, value: Any) -> str | None:
    """Why no tracker can take a value; which one the weights ask for is not known yet."""
    problems = []
    for tracker in TRACKERS:
        if key in _settings(tracker):
            try:
                from_mapping(tracker, {key: value}, "tracker")
            except ConfigError as error:
                problems.append(str(error))
            else:
                return None
    return problems[0]


def _tf_problem(frame: str) -> str | None:
    """Why no frame can be named here."""
    if frame and find_spec("tf2_ros") is None:
        text = "needs tf2_ros, which comes with a ROS distribution (ros-DISTRO-tf2-ros-py) and is not installed here"
        return f"got {frame!r}, which {text}"
    return None


def _camera_problem(names: list[Any]) -> str | None:
    """What is wrong with names of cameras, which become parts of topic names."""
    if list(names) in ([], [""]):
        return None
    for name in names:
        if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)):
            return f"got {name!r}, expected names of letters, digits and underscores that begin with a letter"
        if names.count(name) > 1:
            return f"got {name!r} twice, expected every camera once"
    return None


def _class_problem(entries: list[Any]) -> str | None:
    """What is wrong with classes to publish; which ones there are is not known before the weights are."""
    try:
        class_scores(entries)
    except ValueError as error:
        return str(error)
    return None


_GENERAL = (
    Specification(
        "cameras", list, [""],
        "Names of the cameras: with [front, left] the node takes front/image, left/image and so on, and publishes"
        " ~/front/tracks, ~/left/tracks. [''] is one camera whose topics have no such part.",
        "unconfigured",
        check=_camera_problem,
    ),
    Specification(
        "image_transport", str, "auto",
        "Which of the topics image and image/compressed to take: raw, compressed, or auto for the one that delivers"
        " first.",
        "unconfigured",
        choices=("auto", "raw", "compressed"),
    ),
    Specification(
        "weights", str, "auto",
        "What to load: weights by a name that `qdtrack weights` lists (public ones are fetched at the first start), or"
        " the path of weights or of an exported graph; auto is street_qdtrack where the network runs on a GPU, street"
        " elsewhere.",
        "unconfigured",
    ),
    Specification(
        "runtime", str, "auto",
        "What runs the network; auto takes the best one that can run here and whose results hold.", "unconfigured",
        choices=("auto", *RUNTIMES),
    ),
    Specification(
        "precision", str, "auto", "What the network computes in; auto is what suits runtime and processor.",
        "unconfigured",
        choices=("auto", *PRECISIONS),
    ),
    Specification(
        "fallback", bool, False, "Take another runtime where the chosen one cannot be loaded, instead of failing.",
        "unconfigured",
    ),
    Specification(
        "gpu", int, -1,
        "Which GPU the network runs on, as nvidia-smi counts them, or of those in CUDA_VISIBLE_DEVICES where that is"
        " set; -1 for the first.",
        "never", -1, 63,
    ),
    Specification("threads", int, 0, "Threads of the network; 0 lets the runtime choose.", "unconfigured", 0, 256),
    Specification(
        "batch", int, 1,
        "Images of different cameras that go through the network together when they come within 5 ms; for GPUs.",
        "unconfigured", 1, 16,
    ),
    Specification(
        "build_engine", bool, False,
        "Build the engine of a compiled runtime while configuring, where there is none yet: it may take many minutes."
        " If not, configure fails there and names `qdtrack build-engine`. With autostart it is always built.",
        "unconfigured",
    ),
    Specification("autostart", bool, True, "Configure and activate without being asked to.", "never"),
    Specification(
        "on_fault", str, "rebuild",
        "What to do when inference fails fault_limit times in a row. rebuild: load the network anew, once, while the"
        " node goes on; if it fails again as often without a success, the node goes through its error state and is"
        " unconfigured. exit: end the process with status 3, also when inference hangs, so that launch starts it again;"
        " best with a GPU, whose errors last as long as the process.",
        "unconfigured",
        choices=("rebuild", "exit"),
    ),
    Specification("fault_limit", int, 5, "Failures of inference in a row that are a fault.", "unconfigured", 1, 1000),
    Specification(
        "inference_timeout", float, 10.0,
        "Say so, and ERROR in the diagnostics, when inference does not answer for this long [s]; 0 for never.",
        "always", 0, 3600,
    ),
    Specification(
        "queue_size", int, 1,
        "Images of each camera that may wait for their turn. One more drops the oldest, which is counted: with 1 the"
        " newest image is always the next.",
        "unconfigured", 1, 64,
    ),
    Specification(
        "min_score", float, 0.0, "Tracks whose detection scores less are followed but not published.", "always", 0, 1
    ),
    Specification(
        "classes", list, [""],
        "Classes to publish, by name, each with the lowest score at which it is where one is appended: [pedestrian,"
        " 'vehicle:0.5']. [''] is all of them. The others are followed all the same.",
        "unconfigured",
        check=_class_problem,
    ),
    Specification(
        "ignore", list, [""],
        "Regions in which nothing is tracked, such as the vehicle's own bonnet: corners of a polygon in pixels,"
        " '0,600 1280,600 640,500', or the path of a picture that is black there, of any size. front: before it makes"
        " it that camera's. What is detected is left out where half of its box lies in them.",
        "unconfigured",
    ),
    Specification(
        "max_rate", float, 0.0,
        "Most images of each camera that are taken [1/s], by their stamps; 0 for all. Others are counted as skipped.",
        "unconfigured", 0, 1000,
    ),
    Specification(
        "publish_lost", bool, False,
        "Publish remembered tracks that are not seen in the image or score too little by now, too (state LOST, with the"
        " box they were last seen in).",
        "always",
    ),
    Specification("publish_embeddings", bool, False, "Fill the embedding of every track in ~/tracks.", "always"),
    Specification(
        "trail", int, 40, "Length of the trails in ~/overlay, ~/markers and ~/annotations [images]; 0 for none.",
        "always", 0, 1000,
    ),
    Specification(
        "depth", bool, False,
        "Take depth images that are aligned with the images from the topic depth, and publish ~/detections_3d and"
        " ~/objects by them and camera_info.",
        "unconfigured",
    ),
    Specification(
        "depth_tolerance", float, 0.02,
        "How far the stamps of an image and of the depth image that is taken for it may be apart [s]; less than the"
        " cameras' period, or an image whose own depth is missing gets its neighbour's.",
        "always", 0, 10,
    ),
    Specification(
        "rectified", bool, False,
        "The images are rectified: what camera_info calls P describes them, not K and the distortion D.",
        "always",
    ),
    Specification(
        "target_frame", str, "",
        "The tf frame in which ~/detections_3d and ~/objects are published, such as base_link; empty for that of the"
        " image. Needs tf2_ros.",
        "unconfigured",
        check=_tf_problem,
    ),
    Specification(
        "ground", bool, False,
        "Where depth does not tell it, take objects to stand on the ground of target_frame, and publish"
        " ~/detections_3d and ~/objects by the feet of their boxes and camera_info.",
        "unconfigured",
    ),
    Specification(
        "ground_height", float, 0.0, "Height of the ground in target_frame [m].", "unconfigured", -1000, 1000,
    ),
    Specification(
        "fixed_frame", str, "",
        "A tf frame in which the ground stands still, such as odom. With it places in space are filtered, and"
        " velocities known. Needs tf2_ros.",
        "unconfigured",
        check=_tf_problem,
    ),
    Specification(
        "ego_motion", str, "none",
        "What tells how a camera turns from one image to the next, so that tracks are followed beside that: image (what"
        " stands still in the images), imu (the topic imu, sensor_msgs/Imu, with camera_info) or tf (the camera's turn"
        " in fixed_frame, with camera_info). For cameras on a vehicle.",
        "unconfigured",
        choices=("none", "image", "imu", "tf"),
    ),
    Specification(
        "handover_span", float, 0.0,
        "How long after one camera lost an object its id may be taken over in another [s]; 0 for never, and then every"
        " camera counts its ids for itself.",
        "unconfigured", 0, 3600,
    ),
    Specification(
        "handover_score", float, 0.6,
        "Lowest cosine of two embeddings at which an id is taken over in another camera.",
        "unconfigured", 0, 1,
    ),
    Specification(
        "silence_warning", float, 5.0,
        "Say so, and ERROR in the diagnostics, when no image came for this long [s]; 0 for never.", "always", 0, 3600,
    ),
    Specification(
        "diagnostics.min_rate", float, 0.0,
        "WARN in the diagnostics of a camera when fewer of its images are tracked [1/s]; 0 for never.",
        "always", 0, 1000,
    ),
    Specification(
        "diagnostics.max_age", float, 0.5,
        "WARN when more than 5 % of the tracks are published later than this after the image's stamp [s]; 0 for never.",
        "always", 0, 3600,
    ),
    Specification(
        "diagnostics.max_drop_ratio", float, 0.1,
        "WARN when a greater part of the images is dropped because newer ones came, or lost on the way to the node; 0"
        " for never.",
        "always", 0, 1,
    ),
    Specification(
        "snapshot_frames", int, 100,
        "Latest images of each camera kept in memory for ~/save_snapshot; 0 for none.", "always", 0, 10000,
    ),
    Specification(
        "snapshot_memory", float, 64.0,
        "Most memory that the kept images of all cameras take [MB]: ten raw ones of 1080p are 62 MB.",
        "always", 0, 65536,
    ),
    Specification(
        "snapshot_folder", str, "",
        "Where ~/save_snapshot writes, and nowhere but below it; empty for $ROS_HOME/qdtrack (~/.ros/qdtrack).",
        "never",
    ),
)  # fmt: skip

_TRACKER_DESCRIPTIONS = {
    "kind": "Which tracker; another one than that of the weights has its own defaults and their memory_span.",
    "init_score": "Lowest score of a detection that starts a track.",
    "object_score": "Lowest score of a detection that continues a track.",
    "match_score": "Lowest similarity of appearance that continues a track.",
    "memory_span": "How long an unseen track is remembered [s].",
    "backdrop_span": "How long detections that are no track still take part in matching, against false matches [s].",
    "momentum": "Weight of the new embedding in a track's remembered one; FairMOT's tracker: of the remembered one.",
    "discard_score": "Weak detections more similar to a track than this are dropped.",
    "backdrop_iou": "A weak detection that overlaps a stronger one by more is a duplicate.",
    "class_iou": "Any other detection that overlaps a stronger one by more is a duplicate.",
    "separate_classes": "A track never changes its class.",
    "metric": "How the similarity of embeddings is measured.",
    "motion": "Whether a match must lie near the place the track's motion predicts.",
    "gate": "Largest distance of a match from the predicted box [box sizes].",
    "gate_growth": "Fraction by which the gate widens for each second unseen [1/s].",
    "gate_cosine": "Lowest cosine of two embeddings inside the gate.",
    "prior": "How much similarity a match loses with its distance from the predicted place.",
    "velocity_momentum": "Weight of the newest velocity in the smoothed one.",
    "velocity_decay": "Time constant with which an unseen track's predicted motion comes to a halt [s].",
    "recover_iou": "Leftover detections continue a track they overlap by this much; 0 for never.",
    "recover_score": "Lowest score of a detection that continues a track by overlap.",
    "recover_span": "Longest time unseen after which overlap may continue a track [s].",
    "min_hits": "A track is published from so many detections of it on.",
    "report_score": "A track is published while the running mean of its scores is no less.",
    "gallery_span": "A forgotten track is found again by its looks for so long after it was seen [s]; 0 for never.",
    "gallery_score": "Lowest cosine of two embeddings at which it is.",
    "score_momentum": "TAO tracker: weight of the new score in that of the track.",
    "duplicate_score": "TAO tracker: only detections that score less can be duplicates.",
    "duplicate_iou": "TAO tracker: they are, where they overlap an earlier one of their class by more.",
    "min_score": "FairMOT's tracker: weaker detections are left out.",
    "embedding_limit": "FairMOT's tracker: largest cost of a match by appearance.",
    "iou_limit": "FairMOT's tracker: largest 1 - IoU of a match by overlap.",
    "tentative_limit": "FairMOT's tracker: the same for tracks seen once.",
    "duplicate_limit": "FairMOT's tracker: a lost track and another with less 1 - IoU are one object.",
    "first_frame_confirmed": "FairMOT's tracker: what the very first image shows is reported at once.",
    "as_published": "FairMOT's tracker: as its public code, with ids from 1 and lost tracks two frames longer.",
}


def _settings(tracker: type[Any]) -> dict[str, Any]:
    """The settings of a tracker, name and annotated kind; the frame rate comes with the weights."""
    return {name: kind for name, kind in get_type_hints(tracker).items() if name != "frame_rate"}


def _tracker() -> Iterable[Specification]:
    kinds: dict[str, list[Any]] = {}
    for tracker in TRACKERS:
        for name, kind in _settings(tracker).items():
            kinds.setdefault(name, []).append(kind)
    for name in sorted(kinds, key="kind".__ne__):
        choices = dict.fromkeys(str(choice) for kind in kinds[name] for choice in getattr(kind, "__args__", ()))
        yield Specification(
            TRACKER_PREFIX + name,
            str if choices else kinds[name][0],
            None,
            _TRACKER_DESCRIPTIONS[name],
            "unconfigured" if name == "kind" else "always",
            choices=tuple(choices),
        )


SPECIFICATIONS: dict[str, Specification] = {s.name: s for s in (*_GENERAL, *_tracker())}
