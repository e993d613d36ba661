"""How a network is trained: one frozen dataclass an architecture, one YAML file a recipe (``config/training/``)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from qdtrack_model.config import (
    ConfigError,
    FairMotModelConfig,
    ModelConfig,
    OneShotConfig,
    QDTrackConfig,
    QuasiDenseConfig,
    TrackerConfig,
    changed,
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
    init: str | None = None  # weights to start from: a name, a file, a public .pth; the rest starts afresh
    init_classes: tuple[str, ...] = ()  # of a public file: those that stand for the model's, such as person of COCO's
    init_anyway: bool = False  # although their style, normalisation or classes are not the model's
    seed: int = 0
    epochs: float | None = (
        None  # how often an image is learned (see `images_a_pair`), on average; None: `steps` says it
    )
    steps: int = 3000  # of a training that is not counted in epochs
    max_steps: int | None = None  # a trial: it ends after so many at the latest, at the rates of the whole training
    batch: int = 8  # pairs of frames a step, those of all processes together
    accumulate: int = 1  # parts of a batch that go through the network one after the other, where memory is short
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"  # of the network's arithmetic; weights are always fp32
    pairs: PairConfig = field(default_factory=PairConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: Literal["adamw", "sgd"] = "adamw"  # sgd has a momentum of .9
    learning_rate: float = 2e-3
    warm_up: int = 100  # steps
    warm_up_epochs: float = 0.0  # the same in epochs; the longer of the two counts
    # Epochs (steps, where there are none) after which the rate falls to a tenth; without any it falls in half a cosine.
    milestones: tuple[float, ...] = ()
    weight_decay: float = 0.02
    gradient_clip: float = 10.0  # largest norm of the gradient
    ema_decay: float = 0.998  # of the moving average of the weights, which is the result; 0: the last weights
    contrastive_weight: float = 0.25
    auxiliary_weight: float = 1.0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.steps > 0, "steps", self.steps, "a positive number")
        require(self.epochs is None or self.epochs > 0, "epochs", self.epochs, "a positive number")
        require(self.max_steps is None or self.max_steps > 0, "max_steps", self.max_steps, "a positive number")
        require(self.batch > 0, "batch", self.batch, "a positive number")
        divides = self.accumulate > 0 and self.batch % self.accumulate == 0
        require(divides, "accumulate", self.accumulate, f"a number that divides the batch of {self.batch}")
        require(self.optimizer in ("adamw", "sgd"), "optimizer", self.optimizer, "adamw or sgd")
        require(0 < self.learning_rate < 1, "learning_rate", self.learning_rate, "a number in (0, 1)")
        require(self.warm_up >= 0, "warm_up", self.warm_up, "0 or more steps")
        require(self.warm_up_epochs >= 0, "warm_up_epochs", self.warm_up_epochs, "0 or more")
        rising = all(0 < a < b for a, b in itertools.pairwise((*self.milestones, math.inf)))
        require(rising, "milestones", self.milestones, "positive numbers, each larger than the one before")
        require(
            not self.init_classes or self.init is not None, "init_classes", self.init_classes, "none without `init`"
        )
        require(self.gradient_clip > 0, "gradient_clip", self.gradient_clip, "a positive number")
        require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "a number in [0, 1)")
        for name in ("contrastive_weight", "auxiliary_weight", "weight_decay"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term of the loss, by the name that the progress line shows."""
        return {"contrastive": self.contrastive_weight, "auxiliary": self.auxiliary_weight}

    @property
    def classifies(self) -> bool:
        """Whether identities are classes of the loss."""
        return False

    @property
    def images_a_pair(self) -> int:
        """How many images of an epoch a pair is: the reference frame of QDTrack's pairs counts for nothing."""
        return 1


# Ways to learn embeddings of one-shot networks; those of the second line compare two views of one frame.
Frozen = Literal["none", "backbone", "detector"]
Objective = Literal[
    "quasi_dense", "identity", "each_box", "euclidean", "cosine",
    "contrastive", "triplet_all", "triplet_hard",
]  # fmt: skip
OBJECTIVES: tuple[str, ...] = get_args(Objective)
OF_CLASSES = ("identity", "each_box")
OF_VIEWS = ("contrastive", "triplet_all", "triplet_hard")
MARGINS = {"euclidean": 10.0, "cosine": 0.5, "triplet_all": 0.5, "triplet_hard": 0.5}  # as published


@dataclass(frozen=True)
class OneShotTraining(TrainConfig):
    """A recipe of a one-shot network (``training/one_shot/``)."""

    model: OneShotConfig | FairMotModelConfig = field(default_factory=OneShotConfig)
    places: int = 192  # places a frame at which box and embedding are learned, a quarter of them background
    places_per_object: int = 5
    objects: int = 64  # of a frame at most, whose embeddings are learned but for quasi_dense; a random choice of more
    heat_weight: float = 1.0
    box_weight: float = 2.0
    box_loss: Literal["giou", "l1"] = "giou"  # l1: .1 of the size's and the offset's at centres, as FairMOT
    # quasi_dense: QDTrack's two losses; identity: a class for every identity; each_box: for every box; euclidean and
    # cosine: pairwise ranking; contrastive, triplet_all, triplet_hard: two views of one frame, as CL-MOT.
    embeddings: Objective = "quasi_dense"
    embedding_weight: float = 1.0  # of the embeddings' loss, but for quasi_dense, whose two have their own
    margin: float | None = None  # of ranking and triplets; None: as published
    temperature: float = 0.5  # of contrastive
    off_centre: bool = False  # embeddings of views are read at random places of the objects, not at their centres
    projection: bool = False  # and behind two layers more, which are left out afterwards
    # How detection and embeddings are weighed: by their weights, by uncertainties that are learned, or that stay.
    balance: Literal["weights", "learned", "fixed"] = "weights"
    frozen: Frozen = "none"  # what keeps weights and statistics; detector: all but the embeddings' head
    reinitialise: bool = False  # what is not frozen starts at N(0, .001), biases at 0, as published with freezing

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.embeddings in OBJECTIVES, "embeddings", self.embeddings, f"one of {', '.join(OBJECTIVES)}")
        for name, choices in (
            ("box_loss", ("giou", "l1")),
            ("balance", ("weights", "learned", "fixed")),
            ("frozen", ("none", "backbone", "detector")),
        ):
            require(getattr(self, name) in choices, name, getattr(self, name), f"one of {', '.join(choices)}")
        if self.margin is not None:
            compared = self.embeddings in MARGINS
            require(compared, "margin", self.margin, f"none but with `embeddings: {', '.join(MARGINS)}`")
            require(0 < self.margin < math.inf, "margin", self.margin, "a positive number, or none")
            apart = self.embeddings != "cosine" or self.margin < 2  # no two embeddings are farther
            require(apart, "margin", self.margin, "a number below 2 with `embeddings: cosine`")
        require(self.temperature > 0, "temperature", self.temperature, "a positive number")
        require(self.embedding_weight >= 0, "embedding_weight", self.embedding_weight, "0 or more")
        by_views = self.embeddings in OF_VIEWS
        known = not by_views or self.pairs.identities != "labelled"
        require(
            known, "pairs.identities", self.pairs.identities, f"frame or overlap with `embeddings: {self.embeddings}`"
        )
        labelled = not self.classifies or self.pairs.identities == "labelled"
        expected = f"labelled with `embeddings: {self.embeddings}`"
        require(labelled, "pairs.identities", self.pairs.identities, expected)
        for name in ("off_centre", "projection"):
            value = getattr(self, name)
            require(by_views or not value, name, value, f"false but with one of {', '.join(OF_VIEWS)}")
        balanced = self.balance == "weights" or self.embeddings != "quasi_dense"
        require(balanced, "balance", self.balance, "weights with `embeddings: quasi_dense`")
        require(self.places >= 8, "places", self.places, "8 or more")
        for name in ("places_per_object", "objects"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        begun = not self.reinitialise or self.frozen != "none"
        require(begun, "reinitialise", True, "false with `frozen: none`, where nothing of `init` would be left")
        for name in ("heat_weight", "box_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    @property
    def weights(self) -> dict[str, float]:
        if self.balance != "weights":  # the terms themselves are shown, and their balanced sum is learned
            return {"heat": 0.0, "box": 0.0, "embedding": 0.0, "balanced": 1.0}
        detection = {"heat": self.heat_weight, "box": self.box_weight}
        if self.embeddings == "quasi_dense":
            return {**detection, **super().weights}
        return {**detection, "embedding": self.embedding_weight}

    @property
    def classifies(self) -> bool:
        return self.embeddings in OF_CLASSES


@dataclass(frozen=True)
class FairMotTraining(OneShotTraining):
    """A recipe of FairMOT's network; the defaults are FairMOT's own, but for images and length."""

    model: FairMotModelConfig = field(default_factory=FairMotModelConfig)
    places: int = 668  # the centres of 500 objects, and background
    places_per_object: int = 1
    objects: int = 500
    learning_rate: float = 1e-4
    warm_up: int = 0
    weight_decay: float = 0.0
    gradient_clip: float = 1e6  # none, but for a loss that is not finite
    ema_decay: float = 0.0
    box_weight: float = 1.0
    box_loss: Literal["giou", "l1"] = "l1"
    embeddings: Objective = "identity"
    balance: Literal["weights", "learned", "fixed"] = "learned"

    @property
    def images_a_pair(self) -> int:
        return 1 if self.pairs.identities == "frame" else 2  # two views of one frame are one image


@dataclass(frozen=True)
class QDTrackTraining(TrainConfig):
    """A recipe of QDTrack (``training/qdtrack/``).

    By default network, optimiser, rate, weight decay, gradient clip, frozen stage, samples and weights of the losses
    are the paper's on MOT17; start, length, batch, schedule and pairs are in ``config/training/mot17.yaml``.
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
    # Which regions learn embeddings; sparse: boxes of the ground truth alone; within_frame: those of two views of one
    # frame, by CL-MOT's contrastive loss, so that a frozen detector becomes a tracker without any identity.
    matching: Literal["quasi_dense", "sparse", "within_frame"] = "quasi_dense"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.frozen_stages <= 4, "frozen_stages", self.frozen_stages, "0..4")
        for name in ("anchor_samples", "box_samples", "region_samples"):
            require(getattr(self, name) >= 4, name, getattr(self, name), "4 or more")
        require(0 < self.region_negative <= 0.7, "region_negative", self.region_negative, "a number in (0, 0.7]")
        ways = ("quasi_dense", "sparse", "within_frame")
        require(self.matching in ways, "matching", self.matching, f"one of {', '.join(ways)}")
        known = self.matching != "within_frame" or self.pairs.identities != "labelled"
        expected = "frame or overlap with `matching: within_frame`"
        require(known, "pairs.identities", self.pairs.identities, expected)

    @property
    def weights(self) -> dict[str, float]:
        if self.freeze_detector:
            return super().weights
        detection = {"rpn_class": 1.0, "rpn_box": 1.0, "roi_class": 1.0, "roi_box": 1.0}
        return {**detection, **super().weights}


RECIPES: dict[str, type[OneShotTraining] | type[QDTrackTraining]] = {
    "one_shot": OneShotTraining,
    "fairmot": FairMotTraining,
    "qdtrack": QDTrackTraining,
}


def read_recipe(path: str | Path, changes: Mapping[str, Any] | None = None) -> OneShotTraining | QDTrackTraining:
    """The recipe in a YAML file; its key ``architecture`` (``one_shot`` where it is missing) says for which network.

    Args:
        path: of the file.
        changes: other values by their keys, such as ``batch`` or ``pairs.crop_size``.

    Raises:
        ConfigError: the file cannot be read, or an unknown key or a bad value, by name.
    """
    mapping = read_yaml(path)
    architecture = "one_shot"
    if isinstance(mapping, Mapping):
        mapping = changed(mapping, changes or {})
        architecture = mapping.pop("architecture", architecture)
    if not isinstance(architecture, str) or architecture not in RECIPES:
        raise ConfigError(f"{path}.architecture: got {architecture!r}, expected one of {', '.join(RECIPES)}")
    return from_mapping(RECIPES[architecture], mapping, str(path))
