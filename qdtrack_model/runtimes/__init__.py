"""Runtimes: what runs a network. All take uint8 images of the network's input size and give detections.

Every runtime is one module with ``PRECISIONS`` (the first is what ``auto`` means), ``missing()`` (what it lacks here,
or None) and ``load(checkpoint, options)``; none imports what it needs before it is asked to load.
``load(checkpoint, Options("auto"))`` picks by what is present, see :func:`choose`.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from qdtrack_model import checkpoints
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.config import ModelConfig
from qdtrack_model.runtimes import gpu
from qdtrack_model.structures import Array, Detections

log = logging.getLogger(__name__)

RUNTIMES = {  # by what a person calls them
    "onnxruntime": "qdtrack_model.runtimes.onnx",
    "openvino": "qdtrack_model.runtimes.openvino",
    "tensorrt": "qdtrack_model.runtimes.tensorrt",
    "tensorrt_rtx": "qdtrack_model.runtimes.tensorrt_rtx",
    "aotinductor": "qdtrack_model.runtimes.aotinductor",
    "torch": "qdtrack_model.runtimes.torch",
    "torch_tensorrt": "qdtrack_model.runtimes.torch_tensorrt",
}
ON_GPU: tuple[str, ...] = ("tensorrt", "tensorrt_rtx", "torch_tensorrt", "aotinductor", "torch")  # best first
ON_CPU: tuple[str, ...] = ("onnxruntime", "torch")  # best first; exact ones alone
COMPILED = ("tensorrt", "tensorrt_rtx", "torch_tensorrt", "aotinductor")  # can build ahead of time, see `build`
FROM_WEIGHTS = ("aotinductor", "torch", "torch_tensorrt")  # those that take no exported graph
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


class RuntimeUnavailable(RuntimeError):
    """A runtime that cannot run here; the text says what is missing."""


@dataclass(frozen=True)
class Options:
    """How a network is run.

    Args:
        runtime: ``auto`` or one of RUNTIMES.
        precision: ``auto`` (the runtime's own choice; that of the file where it is a graph) or one of PRECISIONS.
        threads: CPU threads; all usable cores when None.
        batch: images that go through the network together.
        fallback: where the runtime cannot be loaded, take another.
    """

    runtime: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch: int = 1
    fallback: bool = False

    def __post_init__(self) -> None:
        if self.runtime not in ("auto", *RUNTIMES):
            raise ValueError(f"runtime: got {self.runtime!r}, expected auto or one of {', '.join(RUNTIMES)}")
        if self.precision not in ("auto", *PRECISIONS):
            raise ValueError(f"precision: got {self.precision!r}, expected auto or one of {', '.join(PRECISIONS)}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads: got {self.threads}, expected 1 or more")
        if self.batch < 1:
            raise ValueError(f"batch: got {self.batch}, expected 1 or more")

    @property
    def cores(self) -> int:
        """CPU threads to use."""
        return self.threads or usable_cores()


class Runtime(Protocol):
    """A loaded network.

    Attributes:
        name: one of RUNTIMES.
        device: where and how it computes, for people: ``cpu, 2 threads, fp32``, ``NVIDIA ..., fp16``.
        config: configuration of the network.
        memory: bytes that loading and warming up took, of the GPU where it computes there.
    """

    name: str
    device: str
    config: ModelConfig

    @property
    def memory(self) -> int: ...

    def warm_up(self) -> None:
        """Run once with the real shapes, so that the first frame is as fast as the next."""

    def infer(self, images: Array) -> list[Detections]:
        """Images (B, H, W, 3) uint8 BGR of ``config.input_size`` -> detections in pixels of that size, for each.

        Any B is taken; the network runs as often as its own batch asks for.
        """

    def close(self) -> None:
        """Release memory and threads; the runtime cannot be used any more."""


class RuntimeModule(Protocol):
    """What the module of a runtime has."""

    PRECISIONS: tuple[str, ...]

    def missing(self) -> str | None:
        """What has to be installed or present for this runtime, or None where it can run."""

    def load(self, checkpoint: Checkpoint, options: Options) -> Runtime:
        """The network, loaded; ``options.precision`` is one of PRECISIONS."""


class CompilingModule(RuntimeModule, Protocol):
    """What the modules of COMPILED have besides."""

    def build(
        self, checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False
    ) -> Path:
        """What :meth:`load` needs, built into the cache where it is not there yet.

        Args:
            checkpoint: weights or a graph.
            options: ``precision`` is one of PRECISIONS.
            capability: compute capability to build for, such as ``8.9``; that of the GPU here where None.
            progress: show a bar.
        """


def usable_cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def module_of(runtime: str) -> RuntimeModule:
    """The module of a runtime by its name in RUNTIMES."""
    return cast(RuntimeModule, importlib.import_module(RUNTIMES[runtime]))


def choose(checkpoint: Checkpoint) -> tuple[str, str]:
    """The runtime that ``auto`` stands for on this machine, and why, with what a better choice would need.

    Raises:
        RuntimeUnavailable: none can run.
    """
    found = gpu.find()
    reason = f"GPU {found.name}" if found else "no GPU"
    for name in candidates():
        lacking = _unsuitable(name, checkpoint)
        if lacking is None:
            return name, reason if found or checkpoint.graph else _advised(reason)
        reason += f"; not {name}: {lacking}"
    raise RuntimeUnavailable(f"no runtime can run {checkpoint.path.name} here: {reason}")


def candidates() -> tuple[str, ...]:
    """The runtimes that ``auto`` and ``fallback`` look at on this machine, best first; a GPU before the CPU."""
    return tuple(dict.fromkeys((*ON_GPU, *ON_CPU))) if gpu.find() else ON_CPU


def _advised(reason: str) -> str:
    """The reason for an exact runtime on the CPU, with what would be faster."""
    from qdtrack_model.runtimes.openvino import advice

    return "; ".join(filter(None, (reason, advice())))


def _unsuitable(name: str, checkpoint: Checkpoint) -> str | None:
    """Why a runtime cannot run these weights or this graph here, or None where it can."""
    module = module_of(name)
    if checkpoint.graph is not None and name in FROM_WEIGHTS:
        return "it takes weights, no exported graph"
    if checkpoint.graph is not None and checkpoint.graph.precision not in module.PRECISIONS:
        return f"it runs no graphs in {checkpoint.graph.precision}"
    return module.missing()


def load(checkpoint: Checkpoint, options: Options | None = None) -> Runtime:
    """Load a network into a runtime.

    With ``options.fallback`` a runtime that cannot be loaded is replaced, with a warning, by the first other one of
    :func:`candidates` that can; otherwise its failure is the caller's.

    Raises:
        ValueError: the runtime has no such precision, or the graph does not suit.
        RuntimeUnavailable: the runtime is not installed, or what it needs is not there.
        CacheError: what was built for it cannot be kept.
    """
    options = options or Options()
    name = options.runtime
    if name == "auto":
        name, reason = choose(checkpoint)
        log.info("runtime %s: %s", name, reason)
    try:
        return _load(checkpoint, replace(options, runtime=name))
    except (RuntimeError, MemoryError) as error:  # RuntimeError: also what CUDA, TensorRT and torch raise
        if not options.fallback:
            raise
        failure: RuntimeError | MemoryError = error
    for other in candidates():
        if other != name and _unsuitable(other, checkpoint) is None:
            log.warning("runtime %s cannot be used (%s): falling back to %s", name, failure, other)
            name = other
            try:
                return _load(checkpoint, replace(options, runtime=other, precision="auto"))
            except (RuntimeError, MemoryError) as error:
                failure = error
    raise failure


def build(
    checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False
) -> tuple[Path, Options]:
    """Build ahead of time what ``options.runtime``, one of COMPILED, loads; where it is, and for which precision.

    Raises:
        ValueError: the runtime has no such precision or compute capability, or the graph does not suit.
        RuntimeUnavailable: what building needs is not there.
        CacheError: what was built cannot be kept.
    """
    options = _settled(checkpoint, options)
    module = cast(CompilingModule, module_of(options.runtime))
    return module.build(checkpoint, options, capability, progress), options


def _settled(checkpoint: Checkpoint, options: Options) -> Options:
    """Options with a precision that the runtime has."""
    module = module_of(options.runtime)
    if options.precision == "auto":
        own = checkpoint.graph.precision if checkpoint.graph else module.PRECISIONS[0]
        options = replace(options, precision=own)
    if options.precision not in module.PRECISIONS:
        known = ", ".join(module.PRECISIONS)
        raise ValueError(f"precision: {options.runtime} has no {options.precision}, expected auto or one of {known}")
    return options


def _load(checkpoint: Checkpoint, options: Options) -> Runtime:
    options = _settled(checkpoint, options)
    module = module_of(options.runtime)
    missing = module.missing()
    if missing is not None:
        raise RuntimeUnavailable(missing)
    return module.load(checkpoint, options)


def default_weights(runtime: str = "auto") -> str:
    """The shipped weights for this machine and runtime: a QDTrack needs a GPU to keep up with a camera."""
    large, small = "street_qdtrack", "street"
    if gpu.find() is None:
        return small
    name = choose(checkpoints.load(large))[0] if runtime == "auto" else runtime
    return large if name in ON_GPU else small


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


def in_batches(images: Array, size: int) -> list[Array]:
    """Images (B, ...) as parts (size, ...), the last one filled up with its last image."""
    parts = [images[at : at + size] for at in range(0, len(images), size)]
    if parts and len(parts[-1]) < size:
        parts[-1] = np.concatenate([parts[-1], np.repeat(parts[-1][-1:], size - len(parts[-1]), axis=0)])
    return parts


def resident_memory() -> int:
    """Bytes of memory that this process occupies; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
