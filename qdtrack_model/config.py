"""Configuration: frozen dataclasses, read from YAML; an unknown key or a bad value is an error that names it.

There is no inheritance between files: a file holds what differs from the defaults below, and the defaults are
the documentation. Networks and trackers store their configuration in the weights file, see ``checkpoints/files.py``.
Those of the trackers are in ``tracker_config.py``, and known here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qdtrack_model.mappings import (
    ConfigError,
    changed,
    from_mapping,
    read_yaml,
    replaced,
    require,
    require_range,
    to_mapping,
)
from qdtrack_model.tracker_config import (
    TRACKERS,
    FairMotConfig,
    QuasiDenseConfig,
    TaoConfig,
    TrackerConfig,
    read_tracker,
    retuned,
)

__all__ = [
    "ARCHITECTURES", "TRACKERS", "ConfigError", "FairMotConfig", "FairMotModelConfig", "ModelConfig", "OneShotConfig",
    "QDTrackConfig", "QuasiDenseConfig", "TaoConfig", "TrackerConfig", "architecture_of", "changed", "from_mapping",
    "read_tracker", "read_yaml", "replaced", "require", "retuned", "to_mapping",
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
        _require_size(self.input_size)
        require(0 < self.width <= 2, "width", self.width, "a number in (0, 2]")
        _require_heads(self)


@dataclass(frozen=True)
class FairMotModelConfig:
    """FairMOT's network: DLA-34 or HRNetV2-W18 with centre-point heads at stride 4 (``networks/fairmot/``)."""

    classes: tuple[str, ...] = ("pedestrian",)
    columns: tuple[int, ...] = ()  # their numbers in MOTChallenge files, where they are not those that the names say
    input_size: tuple[int, int] = (608, 1088)  # height, width; multiples of 32
    backbone: Literal["dla34", "hrnet_w18"] = "dla34"
    # Of dla34, on the way up: deformable convolutions, as in public checkpoints; TensorRT takes plain ones.
    deformable: bool = False
    size: Literal["ltrb", "wh"] = "ltrb"  # what is learned of a box: four sides from the centre, or width and height
    head_width: int = 256
    embedding_size: int = 128
    max_detections: int = 500
    score_floor: float = 0.3  # lower peaks never leave the network
    clip_boxes: bool = False  # boxes end at the border of the image; not where objects are boxed whole, as of MOT17
    padding: tuple[int, int, int] = (127, 127, 127)  # colour (B, G, R) where the image does not reach, as in training

    def __post_init__(self) -> None:
        _require_classes(self.classes, self.columns)
        _require_size(self.input_size)
        backbones = ("dla34", "hrnet_w18")
        require(self.backbone in backbones, "backbone", self.backbone, f"one of {', '.join(backbones)}")
        require(not self.deformable or self.backbone == "dla34", "deformable", self.deformable, "false for hrnet_w18")
        require(self.size in ("ltrb", "wh"), "size", self.size, "ltrb or wh")
        _require_heads(self)


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
        require_range(self, ("proposal_overlap", "detection_overlap", "score_floor"), 0, 1)
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


def _require_size(size: tuple[int, int]) -> None:
    # Upper limits: a weights file from elsewhere shall not make this machine allocate all of its memory.
    fit = all(0 < side <= 4096 and side % 32 == 0 for side in size)
    require(fit, "input_size", size, "height and width as multiples of 32 from 32 to 4096")


def _require_heads(config: OneShotConfig | FairMotModelConfig) -> None:
    """Raise ConfigError for heads of centre points that cannot be."""
    require(0 < config.head_width <= 4096, "head_width", config.head_width, "1..4096")
    require(0 < config.embedding_size <= 4096, "embedding_size", config.embedding_size, "1..4096")
    peaks = (config.input_size[0] // 4) * (config.input_size[1] // 4)
    require(0 < config.max_detections <= peaks, "max_detections", config.max_detections, f"1..{peaks}")
    require(0 <= config.score_floor < 1, "score_floor", config.score_floor, "a number in [0, 1)")
    _require_colour("padding", config.padding)


def _require_colour(key: str, colour: tuple[int, int, int]) -> None:
    """Raise ConfigError unless all channels are uint8."""
    require(all(0 <= level <= 255 for level in colour), key, colour, "three whole numbers in 0..255")


def _require_classes(classes: tuple[str, ...], columns: tuple[int, ...]) -> None:
    """Raise ConfigError unless there are classes, and columns for all of them or none."""
    require(len(classes) > 0, "classes", classes, "at least one name")
    distinct = len(set(columns)) == len(columns) and all(0 < column < 10**6 for column in columns)
    fit = distinct and len(columns) in (0, len(classes))
    require(fit, "columns", columns, "a number from 1 to 999999 for each class, all different, or none")


# Every network has one configuration class; a weights file says which by `architecture`.
ModelConfig = OneShotConfig | FairMotModelConfig | QDTrackConfig
ARCHITECTURES: dict[str, type[ModelConfig]] = {
    "one_shot": OneShotConfig,
    "fairmot": FairMotModelConfig,
    "qdtrack": QDTrackConfig,
}


def architecture_of(config: ModelConfig) -> str:
    """What a weights file calls the network of this configuration."""
    return next(name for name, kind in ARCHITECTURES.items() if kind is type(config))
