"""Triplet loss within one frame, over all triplets or the hardest."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from qdtrack_model.losses.precision import in_float32
from qdtrack_model.losses.within_frame import view_pairs

EXACT = "donot_use_mm_for_euclid_dist"  # of torch.cdist: differences, so that equal embeddings are 0 apart


@in_float32
def triplet(
    embeddings: Tensor,
    labels: Tensor,
    images: Tensor,
    margin: float = 0.5,
    mining: Literal["all", "hard"] = "all",
    normalised: bool = True,
) -> Tensor:
    r"""Every object nearer to its other view than to other objects of its image, by a margin.

    With Euclidean distances :math:`D`, triplets cost :math:`\max(0, D_{ap} - D_{an} + m)`. "all": the mean over those
    that cost anything. "hard": the mean over all embeddings, of each the farthest positive and the nearest negative;
    without a positive :math:`D_{ap}` is 0, and what is no negative counts as one farther by the largest distance of the
    row, as in CL-MOT's public code, so that embeddings without either count too.
    Papers: Hermans et al., In Defense of the Triplet Loss, 2017; CL-MOT (2020) on the objects of a frame.

    Args:
        embeddings: (N, D) of both views of several images.
        labels: (N,) which object of its image each shows.
        images: (N,) which image each comes from, the same for both views.
        margin: above 0.
        mining: which triplets.
        normalised: brought to length 1 here; not behind a projection, as published.

    Returns:
        Scalar, not weighted. 0 (with a gradient of 0) where nothing is given, and for "all" without a triplet.

    Raises:
        ValueError: the shapes do not belong together, the margin is not above 0, or ``mining`` is unknown.

    Example:
        >>> views, images = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.zeros(3)
        >>> round(triplet(views, torch.tensor([0, 0, 1]), images, margin=0.3).item(), 4)  # only the second costs
        0.562
    """
    positive, negative = view_pairs(embeddings, labels, images)
    if not margin > 0:
        raise ValueError(f"margin: got {margin}, expected a positive number")
    if mining not in ("all", "hard"):
        raise ValueError(f"mining: got {mining!r}, expected all or hard")
    if not len(embeddings):
        return embeddings.sum() * 0
    if normalised:
        embeddings = normalize(embeddings, dim=1)
    distances = torch.cdist(embeddings, embeddings, compute_mode=EXACT)  # (N, N)
    if mining == "hard":
        return _hardest(distances, positive, negative, margin)
    return _all(distances, positive, negative, images, margin)


def _hardest(distances: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    farthest = (distances * positive).max(dim=1).values
    nearest = (distances + distances.max(dim=1, keepdim=True).values * ~negative).min(dim=1).values
    return (farthest - nearest + margin).clamp(min=0).mean()


def _all(distances: Tensor, positive: Tensor, negative: Tensor, images: Tensor, margin: float) -> Tensor:
    total, count = distances.sum() * 0, torch.zeros((), dtype=torch.int64, device=distances.device)
    for image in images.unique():  # no triplet crosses images, and N x N x N of a batch would be many
        rows = images == image
        apart, near, far = (x[rows][:, rows] for x in (distances, positive, negative))
        costs = (apart[:, :, None] - apart[:, None, :] + margin).clamp(min=0) * (near[:, :, None] & far[:, None, :])
        total, count = total + costs.sum(), count + (costs > 1e-16).sum()
    return total / count.clamp(min=1)
