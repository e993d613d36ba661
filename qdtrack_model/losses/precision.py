"""The precision of losses, whatever that of the network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Loss = TypeVar("Loss", bound=Callable[..., Tensor])

HALF = (torch.float16, torch.bfloat16)


def in_float32(loss: Loss) -> Loss:
    """A loss that is computed in float32, or float64 where it is given so, also within autocast.

    Autocast would round embeddings to bfloat16 for their dot products, which turns gradients by per cents; half
    precision overflows in sums over all cells and in exponentials of dot products that have no bound.
    """

    @functools.wraps(loss)
    def wrapped(*args: Any, **settings: Any) -> Tensor:
        device = next(x.device.type for x in (*args, *settings.values()) if isinstance(x, Tensor))
        with torch.autocast(device, enabled=False):
            return loss(*map(_widened, args), **{name: _widened(x) for name, x in settings.items()})

    return cast(Loss, wrapped)


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value
