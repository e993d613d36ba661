"""How a one-shot network is trained: one frozen dataclass, one YAML file a recipe (``config/train_*.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qdtrack_model.config import OneShotConfig, QuasiDenseConfig, from_mapping, read_yaml, require


@dataclass(frozen=True)
class TrainConfig:
    """A training recipe; the names of the loss weights are those of the terms the progress line shows."""

    model: OneShotConfig = field(default_factory=OneShotConfig)
    tracker: QuasiDenseConfig = field(default_factory=QuasiDenseConfig)  # stored with the weights, times in seconds
    seed: int = 0
    steps: int = 3000
    pairs: int = 8  # pairs of frames a step
    crop_size: tuple[int, int] = (256, 448)  # height, width; multiples of 32
    scale_range: tuple[float, float] = (0.7, 1.4)
    reference_range: int = 20  # the reference frame lies at most so many frames from the key frame
    grey_probability: float = 0.2
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
        require(self.steps > 0, "steps", self.steps, "a positive number")
        require(self.pairs > 0, "pairs", self.pairs, "a positive number")
        multiples = all(n > 0 and n % 32 == 0 for n in self.crop_size)
        require(multiples, "crop_size", self.crop_size, "height and width as positive multiples of 32")
        low, high = self.scale_range
        require(0 < low <= high, "scale_range", self.scale_range, "0 < lowest <= highest")
        require(self.reference_range >= 0, "reference_range", self.reference_range, "0 or more frames")
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
