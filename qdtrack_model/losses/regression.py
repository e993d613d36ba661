"""L1 loss of what a centre-point detector says of sizes, sides and offsets at object centres."""

from __future__ import annotations

from torch import Tensor

from qdtrack_model.losses.precision import in_float32


@in_float32
def centre_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over objects and channels.

    Paper: Zhou et al., Objects as Points, 2019; FairMOT (IJCV 2021) uses it for the distances to the four sides too.
    The tiny number in the denominator is that of their public code.

    Args:
        prediction: (N, C) at the centres of objects.
        target: (N, C).

    Returns:
        Scalar, not weighted. 0 (with a gradient of 0) where there is no object.

    Raises:
        ValueError: the shapes differ or are not (N, C).

    Example:
        >>> round(centre_l1(torch.zeros(1, 2), torch.ones(1, 2)).item(), 3)
        1.0
    """
    if prediction.shape != target.shape or prediction.ndim != 2:
        raise ValueError(f"expected two shapes (N, C), got {tuple(prediction.shape)} and {tuple(target.shape)}")
    return (prediction - target).abs().sum() / (prediction.numel() + 1e-4)
