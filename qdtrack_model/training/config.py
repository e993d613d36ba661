"""How a one-shot network is trained: one frozen dataclass, one YAML file a recipe (``config/train_*.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qdtrack_model.config import OneShotConfig, QuasiDenseConfig, from_mapping, read_yaml, require
from qdtrack_model.data.pairs import PairConfig


@dataclass(frozen=True)
class TrainConfig:
    """A training recipe; the names of the loss weights are those of the terms the progress line shows."""

    model: OneShotConfig = field(default_factory=OneShotConfig)
    tracker: QuasiDenseConfig = field(default_factory=QuasiDenseConfig)  # stored with the weights, times in seconds
    seed: int = 0
    steps: int = 3000
    batch: int = 8  # pairs of frames a step
    pairs: PairConfig = field(default_factory=PairConfig)
    places: int = 192  # places a frame at which box and embedding are learned
    places_per_object: int = 5
    learning_rate: float = 2e-3
    warm_up: int = 100  # steps
    weight_decay: float = 0.02
    average: float = 0.998  # momentum of the averaged weights, which are the result
    heat_weight: float = 1.0
    box_weight: float = 2.0
    contrastive_weight: float = 0.25
    auxiliary_weight: float = 1.0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.steps > 0, "steps", self.steps, "a positive number")
        require(self.batch > 0, "batch", self.batch, "a positive number")
        require(self.places >= 8, "places", self.places, "8 or more")
        require(self.places_per_object > 0, "places_per_object", self.places_per_object, "a positive number")
        require(0 < self.learning_rate < 1, "learning_rate", self.learning_rate, "a number in (0, 1)")
        require(0 <= self.average < 1, "average", self.average, "a number in [0, 1)")
        for name in ("heat_weight", "box_weight", "contrastive_weight", "auxiliary_weight", "weight_decay"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    @classmethod
    def read(cls, path: str | Path) -> TrainConfig:
        """The recipe in a YAML file; raises ConfigError naming what is wrong."""
        return from_mapping(cls, read_yaml(path), str(path))
