"""What the loop needs to know of an architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.training import one_shot, qdtrack
from qdtrack_model.training.config import OneShotTraining, QDTrackTraining, TrainConfig


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
        prepare: freezes what is not to be learned, in place, in a network in training mode.
        dataset: items of frame pairs.
        collate: items -> batch.
        losses: network, batch -> the unweighted terms of the loss by name.
    """

    prepare: Callable[[Any], None]
    dataset: Callable[[FramePairs], Dataset[Any]]
    collate: Callable[[Any], Batch]
    losses: Losses


def step_for(config: TrainConfig) -> Step:
    """The step of the architecture that ``config`` is a recipe of."""
    if isinstance(config, OneShotTraining):
        dataset = partial(one_shot.CentrePairs, config=config)
        return Step(lambda network: None, dataset, one_shot.collate, one_shot.losses)
    if isinstance(config, QDTrackTraining):
        return Step(
            partial(qdtrack.freeze, config=config),
            partial(qdtrack.RegionPairs, seed=config.seed),
            qdtrack.collate,
            partial(qdtrack.losses, config=config),
        )
    raise TypeError(f"config: got {type(config).__name__}, expected OneShotTraining or QDTrackTraining")
