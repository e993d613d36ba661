"""How much detection and identity count beside each other: learned, or fixed."""

from __future__ import annotations

import torch
from torch import Tensor

from qdtrack_model.losses.precision import in_float32

DETECTION_LOG_VARIANCE, IDENTITY_LOG_VARIANCE = -1.85, -1.05  # where FairMOT starts, and where CL-MOT stays


@in_float32
def balance(
    detection: Tensor,
    identity: Tensor,
    detection_log_variance: Tensor | float = DETECTION_LOG_VARIANCE,
    identity_log_variance: Tensor | float = IDENTITY_LOG_VARIANCE,
) -> Tensor:
    r"""Weigh two tasks by their uncertainty :math:`s`: :math:`\frac12 (e^{-s_d} L_d + e^{-s_i} L_i + s_d + s_i)`.

    The log variances are learned with the network, as in FairMOT, or numbers that stay, as in CL-MOT.
    Paper: Kendall et al., Multi-Task Learning Using Uncertainty, CVPR 2018; Zhang et al., FairMOT, IJCV 2021, eq. 6.

    Args:
        detection: scalar, the sum of the detector's losses.
        identity: scalar, the loss of the embeddings.
        detection_log_variance: scalar.
        identity_log_variance: scalar.

    Returns:
        Scalar, which may be negative.

    Example:
        >>> round(balance(torch.tensor(1.0), torch.tensor(2.0), 0.0, 0.0).item(), 4)
        1.5
    """
    first, second = (
        torch.as_tensor(value, dtype=detection.dtype, device=detection.device)
        for value in (detection_log_variance, identity_log_variance)
    )
    return ((-first).exp() * detection + (-second).exp() * identity + first + second) / 2
