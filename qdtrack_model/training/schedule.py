"""How long a training lasts, and its rate at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qdtrack_model.data.samples import SampleSet
from qdtrack_model.training.config import TrainConfig


@dataclass(frozen=True)
class Schedule:
    """The rate of a training by step; step 0 is the first.

    Args:
        highest: rate after warming up.
        steps: of the whole training, from which the rates follow.
        last: the steps after which it ends: all of them, or those of a trial.
        warm_up: steps in which the rate rises evenly.
        milestones: steps from which on the rate is a tenth of what it was; none: it falls to a hundredth in half a
            cosine.
    """

    highest: float
    steps: int
    last: int
    warm_up: int
    milestones: tuple[int, ...]

    def rate(self, step: int) -> float:
        """The rate of a step."""
        warm = min(1.0, (step + 1) / max(1, self.warm_up))
        if self.milestones:
            decay = 0.1 ** sum(step >= milestone for milestone in self.milestones)
        else:
            decay = 0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.highest * warm * decay


def epoch_images(sets: Sequence[SampleSet]) -> float:
    """How many images an epoch has; one that is drawn twice as often as others counts twice."""
    return sum(part.share for part in sets)


def make_schedule(config: TrainConfig, images: float) -> Schedule:
    """The schedule of a recipe for data whose epoch has so many images."""
    epoch = images / (config.batch * config.images_a_pair)  # steps
    counted_in = 1.0 if config.epochs is None else epoch  # what milestones count
    steps = config.steps if config.epochs is None else math.ceil(config.epochs * epoch)
    return Schedule(
        config.learning_rate,
        steps,
        last=steps if config.max_steps is None else min(steps, config.max_steps),
        warm_up=max(config.warm_up, math.ceil(config.warm_up_epochs * epoch)),
        milestones=tuple(math.ceil(milestone * counted_in) for milestone in config.milestones),
    )
