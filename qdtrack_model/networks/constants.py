"""Numbers that networks compute with besides their weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def constant(values: Sequence[float], device: torch.device | None, dtype: torch.dtype = torch.float32) -> Tensor:
    """The ``values`` as a tensor (N,) that is made where it is used.

    ``torch.tensor`` makes it in host memory and copies it each time: a GPU is waited for, and what waits cannot be
    recorded as a CUDA graph.
    """
    return torch.cat([torch.full((1,), value, dtype=dtype, device=device) for value in values])
