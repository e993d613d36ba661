"""How a network is trained: one frozen dataclass an architecture, one YAML file a recipe (``config/training/``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qdtrack_model.config import (
    ConfigError,
    ModelConfig,
    OneShotConfig,
    QDTrackConfig,
    QuasiDenseConfig,
    TrackerConfig,
    from_mapping,
    read_yaml,
    require,
)
from qdtrack_model.data.loading import DataConfig
from qdtrack_model.data.pairs import PairConfig


@dataclass(frozen=True)
class TrainConfig:
    """What the recipes of all architectures have in common."""

    model: ModelConfig
    tracker: TrackerConfig = field(default_factory=QuasiDenseConfig)  # stored with the weights, times in seconds
    seed: int = 0
    steps: int = 3000
    batch: int = 8  # pairs of frames a step
    pairs: PairConfig = field(default_factory=PairConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: Literal["adamw", "sgd"] = "adamw"  # sgd has a momentum of .9
    learning_rate: float = 2e-3
    warm_up: int = 100  # steps
    milestones: tuple[float, ...] = ()  # parts of all steps after which the rate falls to a tenth; none: half a cosine
    weight_decay: float = 0.02
    gradient_clip: float = 10.0  # largest norm of the gradient
    ema_decay: float = 0.998  # of the moving average of the weights, which is the result; 0: the last weights
    contrastive_weight: float = 0.25
    auxiliary_weight: float = 1.0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.steps > 0, "steps", self.steps, "a positive number")
        require(self.batch > 0, "batch", self.batch, "a positive number")
        require(self.optimizer in ("adamw", "sgd"), "optimizer", self.optimizer, "adamw or sgd")
        require(0 < self.learning_rate < 1, "learning_rate", self.learning_rate, "a number in (0, 1)")
        require(all(0 < part < 1 for part in self.milestones), "milestones", self.milestones, "numbers in (0, 1)")
        require(self.gradient_clip > 0, "gradient_clip", self.gradient_clip, "a positive number")
        require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "a number in [0, 1)")
        for name in ("contrastive_weight", "auxiliary_weight", "weight_decay"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term of the loss, by the name that the progress line shows."""
        return {"contrastive": self.contrastive_weight, "auxiliary": self.auxiliary_weight}


@dataclass(frozen=True)
class OneShotTraining(TrainConfig):
    """A recipe of the one-shot network (``training/one_shot.py``)."""

    model: OneShotConfig = field(default_factory=OneShotConfig)
    places: int = 192  # places a frame at which box and embedding are learned
    places_per_object: int = 5
    heat_weight: float = 1.0
    box_weight: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.places >= 8, "places", self.places, "8 or more")
        require(self.places_per_object > 0, "places_per_object", self.places_per_object, "a positive number")
        for name in ("heat_weight", "box_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    @property
    def weights(self) -> dict[str, float]:
        return {"heat": self.heat_weight, "box": self.box_weight, **super().weights}


@dataclass(frozen=True)
class QDTrackTraining(TrainConfig):
    """A recipe of QDTrack (``training/qdtrack.py``).

    By default network, optimiser, rate, weight decay, gradient clip, frozen stage, samples and weights of the losses
    are the paper's on MOT17. Steps, batch, warm-up, schedule and pairs are not: there a batch is 16 pairs of frames at
    most 10 apart, in crops of 1088 pixels at scales .8 to 1.2, and the rate falls to a tenth after 3 of 4 epochs and
    begins without warm-up.
    """

    model: QDTrackConfig = field(default_factory=QDTrackConfig)
    optimizer: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.02  # of 16 pairs a step
    weight_decay: float = 1e-4
    gradient_clip: float = 35.0
    ema_decay: float = 0.0
    frozen_stages: int = 1  # the stem and so many stages of the backbone keep their weights; 0: everything learns
    freeze_detector: bool = False  # the embedding head alone learns (the paper's fine-tuning on TAO)
    anchor_samples: int = 256  # of a frame, half of them positive
    box_samples: int = 512  # of a frame, a quarter of them positive
    region_samples: int = 256  # from which embeddings are learned, of a frame, half of them positive
    region_negative: float = 0.5  # regions overlapping no object by so much are negative (BDD100K, TAO: 0.3)
    balanced_negatives: bool = False  # negative regions evenly from all degrees of overlap (BDD100K)
    matching: Literal["quasi_dense", "sparse"] = "quasi_dense"  # sparse: boxes of the ground truth alone

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.frozen_stages <= 4, "frozen_stages", self.frozen_stages, "0..4")
        for name in ("anchor_samples", "box_samples", "region_samples"):
            require(getattr(self, name) >= 4, name, getattr(self, name), "4 or more")
        require(0 < self.region_negative <= 0.7, "region_negative", self.region_negative, "a number in (0, 0.7]")
        require(self.matching in ("quasi_dense", "sparse"), "matching", self.matching, "quasi_dense or sparse")

    @property
    def weights(self) -> dict[str, float]:
        if self.freeze_detector:
            return super().weights
        detection = {"rpn_class": 1.0, "rpn_box": 1.0, "roi_class": 1.0, "roi_box": 1.0}
        return {**detection, **super().weights}


RECIPES: dict[str, type[OneShotTraining] | type[QDTrackTraining]] = {
    "one_shot": OneShotTraining,
    "qdtrack": QDTrackTraining,
}


def read_recipe(path: str | Path) -> OneShotTraining | QDTrackTraining:
    """The recipe in a YAML file; its key ``architecture`` (``one_shot`` where it is missing) says for which network.

    Raises:
        ConfigError: the file cannot be read, or an unknown key or a bad value, by name.
    """
    mapping = read_yaml(path)
    architecture = "one_shot"
    if isinstance(mapping, Mapping):
        mapping = dict(mapping)
        architecture = mapping.pop("architecture", architecture)
    if not isinstance(architecture, str) or architecture not in RECIPES:
        raise ConfigError(f"{path}.architecture: got {architecture!r}, expected one of {', '.join(RECIPES)}")
    return from_mapping(RECIPES[architecture], mapping, str(path))
