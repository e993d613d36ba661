"""Contrastive loss within one frame: which embeddings of two views of an image are one object."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from qdtrack_model.losses.precision import in_float32


@in_float32
def within_frame_contrastive(embeddings: Tensor, labels: Tensor, images: Tensor, temperature: float = 0.5) -> Tensor:
    r"""Pull the views of an object together, push the other objects of its image away; no identity is needed.

    With cosines :math:`c`, the mean over all ordered pairs (a, p) of one object, with its negatives n, of

    .. math:: -\log \frac{e^{c_{ap} / t}}{e^{c_{ap} / t} + \sum_n e^{c_{an} / t}}

    Negatives never cross images: nobody knows whether two images show one object.
    Paper: Chen et al., SimCLR (NT-Xent), ICML 2020, on the objects of a frame as CL-MOT (2020) does.

    Args:
        embeddings: (N, D) of both views of several images; normalised here.
        labels: (N,) which object of its image each shows.
        images: (N,) which image each comes from, the same for both views.
        temperature: above 0.

    Returns:
        Scalar, not weighted. 0 (with a gradient of 0) where no object is in two views.

    Raises:
        ValueError: the shapes do not belong together, or the temperature is not above 0.

    Example:
        >>> views, images = torch.eye(2).repeat(2, 1), torch.zeros(4)
        >>> round(within_frame_contrastive(views, torch.tensor([0, 1, 0, 1]), images).item(), 4)  # log(1 + 2 e^-2)
        0.2395
    """
    positive, negative = view_pairs(embeddings, labels, images)
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}, expected a positive number")
    unit = normalize(embeddings, dim=1)
    logits = unit @ unit.T / temperature  # (N, N)
    # Finite instead of -inf: a row without negatives has a finite logsumexp, so its gradient is 0 and not NaN.
    nothing = -torch.finfo(logits.dtype).max / 4
    if not len(logits):
        return embeddings.sum() * 0
    negatives = torch.logsumexp(logits.masked_fill(~negative, nothing), dim=1, keepdim=True)
    costs = softplus(negatives - logits) * positive
    return costs.sum() / positive.sum().clamp(min=1)


def view_pairs(embeddings: Tensor, labels: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of N views are one object and which are two objects of one image: (N, N) bool each.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings: expected shape (N, D), got {tuple(embeddings.shape)}")
    for name, values in (("labels", labels), ("images", images)):
        if values.shape != embeddings.shape[:1]:
            raise ValueError(f"{name}: expected shape {tuple(embeddings.shape[:1])}, got {tuple(values.shape)}")
    beside = images[:, None] == images
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return beside & same & ~itself, beside & ~same
