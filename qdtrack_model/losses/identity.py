"""Identity classification of one-shot trackers: every identity of the training set is a class."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize

from qdtrack_model.losses.precision import in_float32

PUBLISHED_IDENTITIES = 548  # of the five sequences of MOT17 that the pairwise ranking loss was published with


def embedding_scale(identities: int | None) -> float:
    r"""Length :math:`\sqrt{2} \ln(N - 1)` of the embeddings that losses compare, for N ``identities``.

    None, where nobody knows how many there are: 8.92, that of the data which the margin of 10 was published for. At
    least 1: of two identities the formula makes nothing.
    """
    count = PUBLISHED_IDENTITIES if identities is None else identities
    return max(1.0, math.sqrt(2) * math.log(max(count - 1, 1)))


@in_float32
def identity_classification(
    embeddings: Tensor, ids: Tensor, weight: Tensor, bias: Tensor | None = None, scale: float = 1.0
) -> Tensor:
    r"""Cross-entropy of the logits :math:`W (s u) + b` of embeddings at length 1, :math:`u`.

    Paper: Zhang et al., FairMOT, IJCV 2021, section 3.3; the logarithm of N in the scale after Zhang et al., AdaCos,
    CVPR 2019.

    Args:
        embeddings: (M, D); normalised here.
        ids: (M,) int64 in 0 .. N - 1, below 0 where unknown: such objects take no part.
        weight: (N, D) of the classifier.
        bias: (N,) of the classifier.
        scale: length of the embeddings before the classifier, see :func:`embedding_scale`.

    Returns:
        Scalar, not weighted, the mean over the objects of known identity. 0 (with a gradient of 0) without any.

    Raises:
        ValueError: the shapes do not belong together, or an id is not that of a class.

    Example:
        >>> round(identity_classification(torch.eye(2), torch.tensor([0, -1]), torch.eye(2)).item(), 4)
        0.3133
    """
    if embeddings.ndim != 2 or weight.ndim != 2 or embeddings.shape[1] != weight.shape[1]:
        raise ValueError(
            f"embeddings, weight: expected shapes (M, D) and (N, D), got {tuple(embeddings.shape)} and "
            f"{tuple(weight.shape)}"
        )
    if ids.shape != embeddings.shape[:1]:
        raise ValueError(f"ids: expected shape {tuple(embeddings.shape[:1])}, got {tuple(ids.shape)}")
    # A GPU checks the ids itself, in the cross-entropy: looking at them here would wait for it.
    if ids.device.type == "cpu" and len(ids) and int(ids.max()) >= len(weight):
        raise ValueError(f"ids: got {int(ids.max())}, expected less than the {len(weight)} classes of weight")
    logits = linear(scale * normalize(embeddings, dim=1), weight, bias)
    costs = cross_entropy(logits, ids.clamp(min=-1), ignore_index=-1, reduction="sum")
    return costs / (ids >= 0).sum().clamp(min=1)
