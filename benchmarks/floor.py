"""The least time a network can take on this machine: its work, and the greatest rates that torch reaches here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes.graph import deployed
from qdtrack_model.structures import Array

TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class _Traffic(TorchDispatchMode):
    """Counts the values that convolutions and matrix products read and write; all else could be fused with them."""

    COUNTED = ("convolution", "mm", "addmm", "bmm", "baddbmm")
    values = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in self.COUNTED:
            self.values += sum(x.numel() for x in [*args, result] if isinstance(x, torch.Tensor))
        return result


def work_of(checkpoint: Checkpoint, images: Array) -> tuple[int, int]:
    """Floating point operations of the eager network, and how many values its layers read and write."""
    network = deployed(checkpoint, "fp32")
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _Traffic() as traffic:
        network(torch.from_numpy(images))
    return counter.get_total_flops(), traffic.values


def _fastest(call: Callable[[], object], repeats: int = 10) -> float:
    """Seconds of the fastest call, on a GPU too."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def peaks(precisions: Sequence[str]) -> dict[str, float]:
    """What torch reaches here: operations a second of a matrix product by precision, and bytes a second of a copy."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side, length = (8192, 2**30) if device == "cuda" else (2048, 2**28)
    torch.backends.cuda.matmul.allow_tf32 = False
    found = {}
    for precision in precisions:
        if precision in TYPES:
            # Not ones: on a GPU products of equal numbers take less power and so run faster than any network can.
            a = torch.randn(side, side, device=device).to(TYPES[precision])
            found[precision] = 2 * side**3 / _fastest(lambda a=a: a @ a)  # type: ignore[misc]
    source = torch.ones(length, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    found["copy"] = 2 * length / _fastest(lambda: target.copy_(source))
    return found
