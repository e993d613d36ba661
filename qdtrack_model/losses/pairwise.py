"""Pairwise ranking loss: the objects of one image apart, an object and what lies beside its centre together."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from qdtrack_model.losses.precision import in_float32
from qdtrack_model.losses.triplet import EXACT


@in_float32
def pairwise_ranking(
    anchors: Tensor,
    images: Tensor,
    positives: Tensor | None = None,
    *,
    margin: float,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    scale: float = 1.0,
) -> Tensor:
    r"""Each anchor far from the nearest other anchor of its image, and near to its positive; no identity is needed.

    A negative costs :math:`\max(0, m - d)`, a positive :math:`d`; the mean is over all of both. An anchor alone in its
    image costs nothing as a negative, and counts. Distances are :math:`|s u_a - s u_b|` of embeddings at length 1,
    :math:`u`, or :math:`1 - u_a \cdot u_b`; with unit vectors a Euclidean margin of 10 would never be reached.
    Report: One-shot multi-object tracking using contrastive learning, Eindhoven 2020.

    Args:
        anchors: (N, D) at the centres of objects; normalised here.
        images: (N,) which image each comes from.
        positives: (N, D) at places within the same objects, or None.
        margin: above 0; published: 10 (Euclidean), .5 (cosine).
        metric: the distance.
        scale: length of the embeddings for the Euclidean distance, see ``identity.embedding_scale``.

    Returns:
        Scalar, not weighted. 0 (with a gradient of 0) where there is no anchor.

    Raises:
        ValueError: the shapes do not belong together, margin or scale is not above 0, or the metric is unknown.

    Example:
        >>> pairwise_ranking(torch.eye(2), torch.zeros(2), margin=1.5, metric="cosine").item()
        0.5
    """
    _check(anchors, images, positives, margin, metric, scale)
    if not len(anchors):
        return anchors.sum() * 0
    unit = normalize(anchors, dim=1)
    other = None if positives is None else normalize(positives, dim=1)
    if metric == "euclidean":
        apart = torch.cdist(scale * unit, scale * unit, compute_mode=EXACT)  # (N, N)
        together = None if other is None else torch.linalg.vector_norm(scale * (unit - other), dim=1)
    else:
        apart = 1 - unit @ unit.T
        together = None if other is None else 1 - (unit * other).sum(dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    beside = (images[:, None] == images) & ~itself
    nearest = apart.masked_fill(~beside, math.inf).min(dim=1).values
    terms = (margin - nearest).clamp(min=0)
    return terms.mean() if together is None else torch.cat([terms, together]).mean()


def _check(anchors: Tensor, images: Tensor, positives: Tensor | None, margin: float, metric: str, scale: float) -> None:
    """Raise ValueError for arguments that do not belong together."""
    if anchors.ndim != 2 or images.shape != anchors.shape[:1]:
        raise ValueError(
            f"anchors, images: expected shapes (N, D) and (N,), got {tuple(anchors.shape)} and {tuple(images.shape)}"
        )
    if positives is not None and positives.shape != anchors.shape:
        raise ValueError(f"positives: expected shape {tuple(anchors.shape)}, got {tuple(positives.shape)}")
    for name, value in (("margin", margin), ("scale", scale)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: got {value}, expected a positive number")
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"metric: got {metric!r}, expected euclidean or cosine")
