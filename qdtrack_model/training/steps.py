"""What the loop needs to know of an architecture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from qdtrack_model.config import ConfigError
from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.data.samples import SampleSet
from qdtrack_model.training import one_shot, qdtrack
from qdtrack_model.training.config import OneShotTraining, QDTrackTraining, TrainConfig
from qdtrack_model.training.one_shot.objects import as_classes
from qdtrack_model.training.one_shot.preparation import finished, prepare


class Batch(Protocol):
    """What ``collate`` makes and ``losses`` takes."""

    @property
    def images(self) -> Tensor: ...

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""


Losses: TypeAlias = Callable[[Any, Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Step:
    """The parts of a training step.

    Args:
        sets: what is learned from, with the ids that the losses understand.
        prepare: freezes what is not to be learned, in place, in a network in training mode.
        dataset: items of frame pairs.
        collate: items -> batch.
        losses: network, batch -> the unweighted terms of the loss by name.
        finished: a network as it is used, without what only its losses needed.
    """

    sets: Sequence[SampleSet]
    prepare: Callable[[Any], None]
    dataset: Callable[[FramePairs], Dataset[Any]]
    collate: Callable[[Any], Batch]
    losses: Losses
    finished: Callable[[Any], Any] = lambda network: network


def step_for(config: TrainConfig, sets: Sequence[SampleSet]) -> Step:
    """The step of the architecture that ``config`` is a recipe of, for data.

    Raises:
        ConfigError: identities are classes, or tell objects of two frames apart, and nothing in the data has one.
    """
    _check_identities(config, sets)
    if isinstance(config, OneShotTraining):
        classes = 0
        if config.classifies:
            sets, classes = as_classes(sets, each_box=config.embeddings == "each_box")
            if not classes:
                raise ConfigError(
                    f"embeddings: got {config.embeddings!r}, whose classes are identities, but no object of the data "
                    "has one; choose a way that needs none, such as contrastive"
                )
        return Step(
            sets,
            partial(prepare, config=config, classes=classes),
            partial(one_shot.CentrePairs, config=config),
            one_shot.collate,
            partial(one_shot.losses, config=config),
            finished,
        )
    if isinstance(config, QDTrackTraining):
        return Step(
            sets,
            partial(qdtrack.freeze, config=config),
            partial(qdtrack.RegionPairs, seed=config.seed),
            qdtrack.collate,
            partial(qdtrack.losses, config=config),
        )
    raise TypeError(f"config: got {type(config).__name__}, expected OneShotTraining or QDTrackTraining")


def _check_identities(config: TrainConfig, sets: Sequence[SampleSet]) -> None:
    """Raise ConfigError where frames are compared by the identities of their objects, and there are none."""
    pairs, compared = config.pairs, any(config.weights.get(term) for term in ("contrastive", "auxiliary"))
    if not compared or pairs.identities != "labelled" or pairs.reference_range == 0:
        return
    by_views = any(part.still or len(part.samples) == 1 for part in sets)  # pairs of one image, whose objects it knows
    if not by_views and not any((sample.objects.ids >= 0).any() for part in sets for sample in part.samples):
        raise ConfigError(
            f"pairs.reference_range: got {pairs.reference_range}, so that frames are compared by identities, but no "
            "object of the data has one (all are -1); 0 compares two views of each frame"
        )
