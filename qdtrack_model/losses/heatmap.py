"""Penalty-reduced focal loss of centre-point detectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from qdtrack_model.losses.precision import in_float32


@in_float32
def focal_heatmap(logits: Tensor, target: Tensor, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    r"""Teach a heatmap to peak at object centres, gently near them.

    With :math:`p = \sigma(x)`, a centre (target 1) costs :math:`-(1 - p)^\alpha \log p`, any other cell
    :math:`-(1 - y)^\beta p^\alpha \log(1 - p)`; the sum is divided by the number of centres.
    Takes logits, not probabilities: the logarithms stay exact where p is nearly 0 or 1.
    Papers: Law and Deng, CornerNet, ECCV 2018, eq. 1; Zhou et al., Objects as Points, 2019.

    Args:
        logits: (...) heatmap before the sigmoid.
        target: (...) of the same shape, in 0..1, exactly 1 at centres; see ``training/targets.py``.
        alpha: exponent of the wrongness of the prediction.
        beta: exponent of the distance of the target from 1.

    Returns:
        Scalar, not weighted; without any centre the plain sum over the background.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> round(focal_heatmap(torch.zeros(1), torch.ones(1)).item(), 4)  # .25 log 2
        0.1733
    """
    if logits.shape != target.shape:
        raise ValueError(f"logits, target: expected one shape, got {tuple(logits.shape)} and {tuple(target.shape)}")
    centre = target == 1
    probability = logits.sigmoid()
    at_centre = (1 - probability).pow(alpha) * logsigmoid(logits)
    elsewhere = (1 - target).pow(beta) * probability.pow(alpha) * logsigmoid(-logits)
    return -torch.where(centre, at_centre, elsewhere).sum() / centre.sum().clamp(min=1)
