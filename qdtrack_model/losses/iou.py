"""Generalised IoU loss of boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from qdtrack_model.losses.precision import in_float32


@in_float32
def generalised_iou(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Push boxes onto their targets, also where they do not overlap yet.

    With the smallest box C around prediction and target, ``1 - (IoU - (|C| - |union|) / |C|)``, mean over the boxes.
    Paper: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.

    Args:
        prediction: (N, 4) x1 y1 x2 y2, with x2 >= x1 and y2 >= y1.
        target: (N, 4) of positive area.

    Returns:
        Scalar in 0..2, not weighted. 0 (with a gradient of 0) where there is no box.

    Raises:
        ValueError: the shapes differ or are not (N, 4).

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> generalised_iou(box, box).item()
        0.0
    """
    if prediction.shape != target.shape or prediction.ndim != 2 or prediction.shape[1] != 4:
        raise ValueError(f"expected two shapes (N, 4), got {tuple(prediction.shape)} and {tuple(target.shape)}")
    if not len(prediction):
        return prediction.sum() * 0
    first, second = prediction.unbind(1), target.unbind(1)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    inner = [torch.minimum(first[i + 2], second[i + 2]) - torch.maximum(first[i], second[i]) for i in (0, 1)]
    outer = [torch.maximum(first[i + 2], second[i + 2]) - torch.minimum(first[i], second[i]) for i in (0, 1)]
    intersection = inner[0].clamp(min=0) * inner[1].clamp(min=0)
    union = areas[0] + areas[1] - intersection
    around = outer[0] * outer[1]
    return (1 - intersection / union + (around - union) / around).mean()
