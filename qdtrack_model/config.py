"""Configuration: frozen dataclasses, read from YAML; an unknown key or a bad value is an error that names it.

There is no inheritance between files: a file holds what differs from the defaults below, and the defaults are
the documentation. Networks and trackers store their configuration in the weights file, see ``checkpoints/files.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from qdtrack_model.mappings import ConfigError, from_mapping, parse_value, read_yaml, replaced, require, to_mapping

__all__ = [
    "ARCHITECTURES", "TRACKERS", "ConfigError", "ModelConfig", "OneShotConfig", "QDTrackConfig", "QuasiDenseConfig",
    "TaoConfig", "TrackerConfig", "architecture_of", "from_mapping", "read_tracker", "read_yaml", "replaced",
    "require", "to_mapping",
]  # fmt: skip


GREY = (114, 114, 114)


@dataclass(frozen=True)
class OneShotConfig:
    """The light one-shot network: a CSP backbone and centre-point heads at stride 4 (``networks/one_shot.py``)."""

    classes: tuple[str, ...] = ("pedestrian", "vehicle")
    columns: tuple[int, ...] = ()  # their numbers in MOTChallenge files, where they are not those that the names say
    input_size: tuple[int, int] = (384, 640)  # height, width; multiples of 32
    width: float = 0.375  # channels relative to CSP-large (64 at stride 2)
    head_width: int = 128
    embedding_size: int = 64
    max_detections: int = 200
    score_floor: float = 0.1  # lower peaks never leave the network
    clip_boxes: bool = True  # boxes end at the border of the image
    padding: tuple[int, int, int] = GREY  # colour (B, G, R) of the input where the image does not reach, as in training

    def __post_init__(self) -> None:
        _require_classes(self.classes, self.columns)
        height, width = self.input_size
        # Upper limits: a weights file from elsewhere shall not make this machine allocate all of its memory.
        require(
            all(0 < side <= 4096 and side % 32 == 0 for side in (height, width)),
            "input_size", self.input_size, "height and width as multiples of 32 from 32 to 4096",
        )  # fmt: skip
        require(0 < self.width <= 2, "width", self.width, "a number in (0, 2]")
        require(0 < self.head_width <= 4096, "head_width", self.head_width, "1..4096")
        require(0 < self.embedding_size <= 4096, "embedding_size", self.embedding_size, "1..4096")
        peaks = (height // 4) * (width // 4)
        require(0 < self.max_detections <= peaks, "max_detections", self.max_detections, f"1..{peaks}")
        require(0 <= self.score_floor < 1, "score_floor", self.score_floor, "a number in [0, 1)")
        _require_colour("padding", self.padding)


@dataclass(frozen=True)
class QDTrackConfig:
    """QDTrack: Faster R-CNN with an embedding head (``networks/qdtrack.py``); ``config/networks/*.yaml`` are presets.

    The defaults are those of the paper on MOT17.
    """

    classes: tuple[str, ...] = ("pedestrian",)
    columns: tuple[int, ...] = ()  # their numbers in MOTChallenge files, where they are not those that the names say
    input_size: tuple[int, int] = (640, 1088)  # height, width; multiples of 32
    depth: Literal[18, 34, 50, 101] = 50
    style: Literal["pytorch", "caffe"] = "caffe"  # bottlenecks stride in their 3x3 (pytorch) or first 1x1 convolution
    frozen_norm: bool = True  # batch norm keeps its statistics in training
    channel_order: Literal["bgr", "rgb"] = "bgr"  # what the backbone was trained with; images are BGR in any case
    mean: tuple[float, float, float] = (103.53, 116.28, 123.675)  # in that order, of pixels 0..255
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    # Colour (B, G, R) of the input where the image does not reach, as in training; public checkpoints: `mean_colour`.
    padding: tuple[int, int, int] = GREY
    channels: int = 256  # of the pyramid; a multiple of 32
    head_width: int = 1024  # hidden layers of the box and embedding heads
    embedding_size: int = 256
    sampling: int = 0  # RoIAlign samples a bin on each axis; 0: as many as the bin has cells
    clip_boxes: bool = False  # boxes end at the border of the image; not where objects are boxed whole, as of MOT17
    proposals_per_level: int = 1000
    proposals: int = 1000  # of all levels together
    proposal_overlap: float = 0.7  # greatest overlap of two proposals of one level
    score_floor: float = 0.05  # detections of at most this score never leave the network
    detection_overlap: float = 0.5  # greatest overlap of two detections of one class
    max_detections: int = 100

    def __post_init__(self) -> None:
        _require_classes(self.classes, self.columns)
        height, width = self.input_size
        require(
            height > 0 and width > 0 and height % 32 == 0 and width % 32 == 0,
            "input_size", self.input_size, "height and width as positive multiples of 32",
        )  # fmt: skip
        require(self.depth in (18, 34, 50, 101), "depth", self.depth, "18, 34, 50 or 101")
        require(min(self.deviation) > 0, "deviation", self.deviation, "positive numbers")
        _require_colour("padding", self.padding)
        require(self.channels > 0 and self.channels % 32 == 0, "channels", self.channels, "a positive multiple of 32")
        require(self.head_width > 0, "head_width", self.head_width, "a positive number")
        require(self.embedding_size > 0, "embedding_size", self.embedding_size, "a positive number")
        require(0 <= self.sampling <= 8, "sampling", self.sampling, "0 (adaptive) to 8")
        _require_range(self, ("proposal_overlap", "detection_overlap", "score_floor"), 0, 1)
        anchors = [3 * -(-height // stride) * -(-width // stride) for stride in (4, 8, 16, 32, 64)]
        most = 3840  # TensorRT's limit of top-k
        key = "proposals_per_level"
        require(0 < self.proposals_per_level <= most, key, self.proposals_per_level, f"1..{most}")
        available = min(most, sum(min(count, self.proposals_per_level) for count in anchors))
        require(0 < self.proposals <= available, "proposals", self.proposals, f"1..{available}")
        require(
            0 < self.max_detections <= self.proposals, "max_detections", self.max_detections, f"1..{self.proposals}"
        )

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The colour (B, G, R) that normalisation turns into 0, but for half a grey level at most."""
        first, second, third = (min(max(round(level), 0), 255) for level in self.mean)
        return (first, second, third) if self.channel_order == "bgr" else (third, second, first)


@dataclass(frozen=True)
class QuasiDenseConfig:
    """The quasi-dense tracker (``tracking/quasi_dense.py``); all times are in the unit of the ``time`` given to it.

    The defaults are those of the paper, with times in frames. ``motion`` and ``recover_iou`` add what later work
    found useful in crowds of people who look alike (``tracking/motion.py``); both are off by default.
    """

    init_score: float = 0.8  # unmatched detections above start a track
    object_score: float = 0.5  # matched detections above continue a track
    match_score: float = 0.5  # least similarity of a match
    memory_span: float = 10.0  # a track unseen for so long is forgotten
    backdrop_span: float = 1.0  # detections that are no track still take part in matching for so long
    momentum: float = 0.8  # weight of the new embedding in the remembered one
    discard_score: float = 0.5  # weak detections more similar to a track than this are dropped
    backdrop_iou: float = 0.3  # a weak detection overlapping a stronger one by more is a duplicate
    class_iou: float = 0.7  # the same for the others
    separate_classes: bool = True  # a track never changes its class
    metric: Literal["bisoftmax", "softmax", "cosine"] = "bisoftmax"

    motion: Literal["none", "gate"] = "none"
    gate: float = 1.5  # largest distance from the predicted box, in box sizes
    gate_growth: float = 0.05  # by which fraction the gate widens per unit of time unseen
    gate_cosine: float = 0.3  # least cosine of two embeddings inside the gate
    prior: float = 8.0  # a match loses prior * (distance relative to the gate's widening)^2 before the softmax
    velocity_momentum: float = 0.4  # weight of the newest velocity in the smoothed one
    velocity_decay: float = 10.0  # unseen, an object coasts to a halt with this time constant

    recover_iou: float = 0.0  # unmatched detections continue a track they overlap by so much; 0: off
    recover_score: float = 0.1  # ... if their score is above
    recover_span: float = 1.0  # ... and the track was seen no longer ago

    frame_rate: float | None = None  # frames a second that the times stand for, where they are in seconds
    kind: Literal["quasi_dense"] = "quasi_dense"

    def __post_init__(self) -> None:
        fractions = (
            "init_score", "object_score", "match_score", "momentum", "discard_score", "backdrop_iou", "class_iou",
            "gate_cosine", "velocity_momentum", "recover_iou", "recover_score",
        )  # fmt: skip
        _require_range(self, fractions, 0, 1)
        _require_range(self, ("backdrop_span", "gate_growth", "prior", "recover_span"), 0, math.inf)
        for key in ("memory_span", "gate", "velocity_decay"):
            require(0 < getattr(self, key) < math.inf, key, getattr(self, key), "a positive number")
        metrics = ("bisoftmax", "softmax", "cosine")
        require(self.metric in metrics, "metric", self.metric, f"one of {', '.join(metrics)}")
        require(self.motion in ("none", "gate"), "motion", self.motion, "none or gate")
        _require_rate(self.frame_rate)

    def in_frames(self) -> QuasiDenseConfig:
        """The same with times in frames, for data of any frame rate, as benchmarks count.

        Raises:
            ConfigError: it is not said which ``frame_rate`` the times stand for.
        """
        rate = _known_rate(self.frame_rate)
        return replace(
            self,
            memory_span=self.memory_span * rate,
            backdrop_span=self.backdrop_span * rate,
            gate_growth=self.gate_growth / rate,
            velocity_decay=self.velocity_decay * rate,
            recover_span=self.recover_span * rate,
            frame_rate=None,
        )

    @classmethod
    def preset(cls, name: str) -> QuasiDenseConfig:
        """The published settings of a data set, times in frames.

        Raises:
            ConfigError: no preset has this name.
        """
        presets = {
            "default": cls(),
            "mot17": cls(init_score=0.9, memory_span=30.0),
            "bdd100k": cls(init_score=0.7, object_score=0.3),
        }
        require(name in presets, "preset", name, f"one of {', '.join(presets)}")
        return presets[name]


@dataclass(frozen=True)
class TaoConfig:
    """The tracker for many classes and sparse frames (``tracking/tao.py``).

    The defaults are those of the paper, with times in annotated frames.
    """

    init_score: float = 0.0001  # unmatched detections above start a track
    object_score: float = 0.0001  # weaker detections are not matched
    match_score: float = 0.5  # least similarity of a match
    memory_span: float = 10.0  # a track unseen for so long is forgotten
    momentum: float = 0.8  # weight of the new embedding in the remembered one
    score_momentum: float = 0.5  # weight of the new score in that of the track
    duplicate_score: float = 0.5  # only detections weaker than this can be duplicates
    duplicate_iou: float = 0.3  # they are, where they overlap an earlier one of their class by more

    frame_rate: float | None = None  # frames a second that the times stand for, where they are in seconds
    kind: Literal["tao"] = "tao"

    def __post_init__(self) -> None:
        fractions = (
            "init_score", "object_score", "match_score", "momentum", "score_momentum", "duplicate_score",
            "duplicate_iou",
        )  # fmt: skip
        _require_range(self, fractions, 0, 1)
        require(0 < self.memory_span < math.inf, "memory_span", self.memory_span, "a positive number")
        _require_rate(self.frame_rate)

    def in_frames(self) -> TaoConfig:
        """As :meth:`QuasiDenseConfig.in_frames`."""
        return replace(self, memory_span=self.memory_span * _known_rate(self.frame_rate), frame_rate=None)


def _require_colour(key: str, colour: tuple[int, int, int]) -> None:
    """Raise ConfigError unless all channels are uint8."""
    require(all(0 <= level <= 255 for level in colour), key, colour, "three whole numbers in 0..255")


def _require_classes(classes: tuple[str, ...], columns: tuple[int, ...]) -> None:
    """Raise ConfigError unless there are classes, and columns for all of them or none."""
    require(len(classes) > 0, "classes", classes, "at least one name")
    distinct = len(set(columns)) == len(columns) and all(0 < column < 10**6 for column in columns)
    fit = distinct and len(columns) in (0, len(classes))
    require(fit, "columns", columns, "a number from 1 to 999999 for each class, all different, or none")


def _require_range(config: object, keys: tuple[str, ...], low: float, high: float) -> None:
    """Raise ConfigError unless low <= value <= high (and finite) for all keys."""
    expected = f"a number in [{low}, {high}]" if math.isfinite(high) else f"a number of at least {low}"
    for key in keys:
        value = getattr(config, key)
        require(low <= value <= high and math.isfinite(value), key, value, expected)


def _require_rate(rate: float | None) -> None:
    require(rate is None or 0 < rate < math.inf, "frame_rate", rate, "a positive number, or none")


def _known_rate(rate: float | None) -> float:
    if rate is None:
        raise ConfigError(
            "tracker.frame_rate: not set: nothing says how many frames a second the times of the tracker stand for; "
            "count its time in seconds, or set frame_rate in the preset or recipe that the weights are made by"
        )
    return rate


# Every network has one configuration class; a weights file says which by `architecture`.
ModelConfig = OneShotConfig | QDTrackConfig
ARCHITECTURES: dict[str, type[OneShotConfig] | type[QDTrackConfig]] = {
    "one_shot": OneShotConfig,
    "qdtrack": QDTrackConfig,
}


def architecture_of(config: ModelConfig) -> str:
    """What a weights file calls the network of this configuration."""
    return next(name for name, kind in ARCHITECTURES.items() if kind is type(config))


# A tracker's configuration says by `kind` which it is; without it, as in the first weights files, it is quasi-dense.
TrackerConfig = QuasiDenseConfig | TaoConfig
TRACKERS: tuple[type[QuasiDenseConfig] | type[TaoConfig], ...] = (QuasiDenseConfig, TaoConfig)


def read_tracker(mapping: Any, where: str) -> TrackerConfig:
    """The tracker's configuration that a mapping holds; its key ``kind`` says which tracker.

    Raises:
        ConfigError: an unknown kind or key, or a bad value, by name.
    """
    config: TrackerConfig = parse_value(mapping, TrackerConfig, where)
    return config
