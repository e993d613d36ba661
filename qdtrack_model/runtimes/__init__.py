"""Runtimes: what runs a network. All take uint8 images of the network's input size and give detections.

``load(checkpoint, "auto")`` picks by what is present: torch on a GPU, ONNX Runtime on a CPU, torch where ONNX
Runtime is missing. Every runtime is one module with one class; none imports what it does not need.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.config import ModelConfig
from qdtrack_model.structures import Array, Detections

log = logging.getLogger(__name__)


class RuntimeUnavailable(RuntimeError):
    """A runtime that cannot run here; the text says what is missing."""


class Runtime(Protocol):
    """A loaded network.

    Attributes:
        name: ``onnxruntime`` or ``torch``.
        device: where it computes, for people: ``cpu, 2 threads``, ``cuda: NVIDIA ...``.
        config: configuration of the network.
    """

    name: str
    device: str
    config: ModelConfig

    def warm_up(self) -> None:
        """Run once with the real shapes, so that the first frame is as fast as the next."""

    def infer(self, images: Array) -> list[Detections]:
        """Images (B, H, W, 3) uint8 BGR of ``config.input_size`` -> detections in pixels of that size, for each."""

    def close(self) -> None:
        """Release memory and threads; the runtime cannot be used any more."""


def _onnxruntime(checkpoint: Checkpoint, threads: int | None) -> Runtime:
    from qdtrack_model.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(checkpoint, threads or usable_cores())


def _torch(checkpoint: Checkpoint, threads: int | None) -> Runtime:
    from qdtrack_model.runtimes.torch import TorchRuntime

    return TorchRuntime(checkpoint, threads or usable_cores())


RUNTIMES: dict[str, Callable[[Checkpoint, int | None], Runtime]] = {"onnxruntime": _onnxruntime, "torch": _torch}


def usable_cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose() -> tuple[str, str]:
    """The runtime that ``auto`` stands for on this machine, and why."""
    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return "torch", f"a GPU is present ({torch.cuda.get_device_name(0)})"
    if importlib.util.find_spec("onnxruntime"):
        return "onnxruntime", "no GPU; the faster one on a CPU"
    return "torch", "no GPU, and onnxruntime is not installed (pip install onnxruntime: it is faster)"


def load(checkpoint: Checkpoint, runtime: str = "auto", threads: int | None = None) -> Runtime:
    """Load a network into a runtime.

    Args:
        checkpoint: the weights, from ``checkpoints.load``.
        runtime: ``auto``, ``onnxruntime`` or ``torch``.
        threads: CPU threads; all usable cores when None.

    Raises:
        ValueError: no such runtime.
        RuntimeUnavailable: the runtime is not installed.
    """
    if runtime == "auto":
        runtime, reason = choose()
        log.info("runtime %s: %s", runtime, reason)
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime: got {runtime!r}, expected auto or one of {', '.join(RUNTIMES)}")
    return RUNTIMES[runtime](checkpoint, threads)


def to_detections(outputs: Sequence[Array], floor: float) -> Detections:
    """One image's boxes, scores, labels and embeddings, of fixed size, as the detections that score above ``floor``."""
    rows = outputs[1] > floor
    return Detections(*(output[rows] for output in outputs))


def check_images(images: Array, config: ModelConfig) -> None:
    """Raise ValueError unless images are (B, H, W, 3) uint8 of the network's input size."""
    if images.dtype.name != "uint8" or images.ndim != 4 or images.shape[1:] != (*config.input_size, 3):
        raise ValueError(
            f"images: got {images.dtype} {images.shape}, expected uint8 (batch, {config.input_size[0]}, "
            f"{config.input_size[1]}, 3); the pipeline's preprocessor makes them"
        )
