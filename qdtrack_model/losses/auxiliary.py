"""Auxiliary cosine loss of quasi-dense similarity learning."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from qdtrack_model.losses.contrastive import check_pairs
from qdtrack_model.losses.precision import in_float32


@in_float32
def auxiliary_cosine(
    key: Tensor, ref: Tensor, target: Tensor, negative_margin: float = 0.1, negatives_per_positive: int = 3
) -> Tensor:
    r"""Bind the size of the embeddings' cosine, which the contrastive loss leaves free.

    With the cosine :math:`c` of a pair, a positive costs :math:`(\mathrm{clamp}(c, 0, 1) - 1)^2` and a negative
    :math:`\mathrm{clamp}(c - m, 0, 1)^2`; the mean is over all positives and the hardest negatives, at most
    ``negatives_per_positive`` to each positive. Rows without a positive still give negatives.
    Paper: Pang et al., Quasi-Dense Similarity Learning for Multiple Object Tracking, CVPR 2021, eq. 4.

    Args:
        key: (K, D) embeddings of the key frame; normalised here.
        ref: (R, D) embeddings of the reference frame; normalised here.
        target: (K, R) true or 1 where both regions show one identity.
        negative_margin: cosine up to which a negative costs nothing.
        negatives_per_positive: how many of the hardest negatives are kept to each positive.

    Returns:
        Scalar, not weighted. 0 (with a gradient of 0) where there is no positive.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        >>> identity = torch.eye(2)
        >>> auxiliary_cosine(identity, identity, identity).item()
        0.0
    """
    check_pairs(key, ref, target)
    positive = target.to(torch.bool)
    cosine = normalize(key, dim=1) @ normalize(ref, dim=1).T  # (K, R)
    positives = (cosine[positive].clamp(0, 1) - 1).square()
    negatives = (cosine[~positive] - negative_margin).clamp(0, 1).square()
    kept = min(len(negatives), negatives_per_positive * len(positives))
    hardest = negatives.topk(kept).values
    return (positives.sum() + hardest.sum()) / max(len(positives) + kept, 1)
