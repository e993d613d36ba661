"""From which regions embeddings are learned, and which of them show the same object (arXiv 2006.06664, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qdtrack_model.training.config import QDTrackTraining
from qdtrack_model.training.qdtrack.assignment import NEITHER, AssignmentRule, assign
from qdtrack_model.training.qdtrack.detection import Truth
from qdtrack_model.training.qdtrack.sampling import SamplingRule, sample

NEGATIVES_PER_POSITIVE = 3


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of one frame: boxes (N, 4), ids (N,) of what they show, positive (N,) bool: whether they show anything.

    The id of a negative means nothing; there is no number that is not the id of an object.
    """

    boxes: Tensor
    ids: Tensor
    positive: Tensor


def choose_regions(candidates: Tensor, truth: Truth, config: QDTrackTraining, generator: torch.Generator) -> Regions:
    """Regions of a frame, positives first.

    Quasi-dense: positives evenly from all objects, and at most three times as many negatives. Sparse and within a
    frame: the boxes of the ground truth and nothing else, so that a region of the other frame is the one positive of at
    most one.
    Regions of objects of unknown identity (an id below 0) are left out: nobody knows what else shows them.

    Args:
        candidates: (N, 4) boxes of the ground truth and proposals.
        truth: of the frame.
        config: the recipe.
        generator: of the CPU.
    """
    if config.matching != "quasi_dense":
        known = truth.ids >= 0
        return Regions(truth.boxes[known], truth.ids[known], known[known])
    rule = AssignmentRule(positive=0.7, negative=config.region_negative)
    assigned, best = assign(candidates, truth.boxes, truth.ignored, rule)
    unknown = (truth.ids < 0).nonzero()[:, 0]
    assigned = assigned.masked_fill(torch.isin(assigned, unknown), NEITHER)
    numbers = SamplingRule(
        config.region_samples,
        positive_fraction=0.5,
        negatives_per_positive=NEGATIVES_PER_POSITIVE,
        balance_positives=True,
        balance_negatives=config.balanced_negatives,
    )
    positives, negatives = sample(assigned, best, numbers, generator)
    ids = torch.cat([truth.ids[assigned[positives]], torch.zeros_like(negatives)])
    positive = torch.arange(len(ids), device=ids.device) < len(positives)
    return Regions(candidates[torch.cat([positives, negatives])], ids, positive)


def only_positives(regions: Regions) -> Regions:
    """The regions that show an object: the rows of the key frame."""
    rows = regions.positive
    return Regions(regions.boxes[rows], regions.ids[rows], regions.positive[rows])


def same_identity(key: Regions, reference: Regions) -> Tensor:
    """Target (K, R) bool: whether key region i and reference region j show the same object."""
    both = key.positive[:, None] & reference.positive[None, :]
    return both & (key.ids[:, None] == reference.ids[None, :])
