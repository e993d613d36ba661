"""Which of the assigned boxes take part in a loss: random, or balanced over objects and degrees of overlap.

Everything is an index into the boxes; the same generator gives the same choice on every device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qdtrack_model.training.qdtrack.assignment import NEGATIVE

BINS = 3  # degrees of overlap of balanced negatives


@dataclass(frozen=True)
class SamplingRule:
    """How many boxes are chosen, and how.

    Args:
        count: the most boxes in all.
        positive_fraction: the largest part of them that is positive.
        negatives_per_positive: the most negatives to each positive (to one where there is none); None: no limit.
        balance_positives: every object gets as many boxes as the others, as far as it has them.
        balance_negatives: as many from each third of the range of overlaps, as far as there are.
    """

    count: int
    positive_fraction: float
    negatives_per_positive: int | None = None
    balance_positives: bool = False
    balance_negatives: bool = False


def choose(candidates: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """At most ``count`` of ``candidates`` (N,) at random; all of them, in order, where they are no more."""
    if len(candidates) <= count:
        return candidates
    order = torch.randperm(len(candidates), generator=generator)[: max(count, 0)]
    return candidates[order.to(candidates.device)]


def choose_balanced(candidates: Tensor, groups: Tensor, share: int, count: int, generator: torch.Generator) -> Tensor:
    """At most ``count`` of ``candidates`` (N,), first ``share`` of each group (N,), then any until there are enough."""
    if len(candidates) <= count:
        return candidates
    parts = [choose(candidates[groups == group], share, generator) for group in groups.unique()]
    chosen = choose(torch.cat(parts), count, generator)
    rest = candidates[~torch.isin(candidates, chosen)]
    return torch.cat([chosen, choose(rest, count - len(chosen), generator)])


def sample(assigned: Tensor, best: Tensor, rule: SamplingRule, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of the positives and of the negatives that take part.

    Args:
        assigned: (N,) as :func:`~qdtrack_model.training.qdtrack.assignment.assign` gives it.
        best: (N,) the greatest overlap with an object.
        rule: numbers and ways.
        generator: of the CPU.
    """
    positives = (assigned >= 0).nonzero()[:, 0]
    room = int(rule.count * rule.positive_fraction)
    if rule.balance_positives and len(positives) > room:
        owners = assigned[positives]
        share = round(room / len(owners.unique())) + 1
        positives = choose_balanced(positives, owners, share, room, generator)
    else:
        positives = choose(positives, room, generator)
    negatives = (assigned == NEGATIVE).nonzero()[:, 0]
    room = rule.count - len(positives)
    if rule.negatives_per_positive is not None:
        room = min(room, rule.negatives_per_positive * max(1, len(positives)))
    if rule.balance_negatives and len(negatives) > room:
        degree = best[negatives]
        # Bins up to the largest overlap of a negative: those above would always be empty.
        third = (degree / degree.max().clamp(min=1e-9) * BINS).long().clamp(max=BINS - 1)
        negatives = choose_balanced(negatives, third, room // BINS, room, generator)
    else:
        negatives = choose(negatives, room, generator)
    return positives, negatives
