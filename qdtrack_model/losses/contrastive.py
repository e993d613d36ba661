"""Multi-positive contrastive loss of quasi-dense similarity learning."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from qdtrack_model.losses.precision import in_float32


@in_float32
def multi_positive_contrastive(key: Tensor, ref: Tensor, target: Tensor) -> Tensor:
    r"""Pull every key region towards all regions of its identity, away from all others.

    With the dot products :math:`s`, the positives :math:`P_i` and the negatives :math:`N_i` of key region i,

    .. math:: L = \frac{1}{|I|} \sum_{i \in I} \log\Bigl(1 + \sum_{p \in P_i} \sum_{n \in N_i} e^{s_{in} - s_{ip}}\Bigr)

    over the rows :math:`I` that have a positive. The double sum factors, so each row is
    ``softplus(logsumexp_n(s_n) + logsumexp_p(-s_p))`` and no P x N tensor is made.
    Paper: Pang et al., Quasi-Dense Similarity Learning for Multiple Object Tracking, CVPR 2021, eq. 3.

    Args:
        key: (K, D) embeddings of the key frame, not normalised.
        ref: (R, D) embeddings of the reference frame, not normalised.
        target: (K, R) true or 1 where both regions show one identity.

    Returns:
        Scalar, not weighted. 0 (with a gradient of 0) where no row has a positive or nothing is given.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        >>> identity = torch.eye(2)
        >>> round(multi_positive_contrastive(identity, identity, identity).item(), 4)  # log(1 + e^-1)
        0.3133
    """
    check_pairs(key, ref, target)
    scores = key @ ref.T  # (K, R)
    if scores.numel() == 0:
        return key.sum() * 0 + ref.sum() * 0
    positive = target.to(torch.bool)
    # Finite instead of -inf: an all-masked row has a finite logsumexp, so its gradient is 0 and not NaN.
    nothing = -torch.finfo(scores.dtype).max / 4
    negatives = torch.logsumexp(scores.masked_fill(positive, nothing), dim=1)
    positives = torch.logsumexp((-scores).masked_fill(~positive, nothing), dim=1)
    rows = positive.any(dim=1).sum().clamp(min=1)
    return softplus(negatives + positives).sum() / rows


def check_pairs(key: Tensor, ref: Tensor, target: Tensor) -> None:
    """Raise ValueError unless key (K, D), ref (R, D) and target (K, R) belong together."""
    if key.ndim != 2 or ref.ndim != 2 or key.shape[1] != ref.shape[1]:
        raise ValueError(f"key, ref: expected shapes (K, D) and (R, D), got {tuple(key.shape)} and {tuple(ref.shape)}")
    if target.shape != (len(key), len(ref)):
        raise ValueError(f"target: expected shape {(len(key), len(ref))}, got {tuple(target.shape)}")
