"""Runtimes: what runs a network. All take uint8 images of the network's input size and give detections.

Every runtime is one module with ``PRECISIONS`` (the first is what ``auto`` means), ``missing()`` (what it lacks here,
or None) and ``load(checkpoint, options)``; none imports what it needs before it is asked to load.
``load(checkpoint, Options("auto"))`` picks by what is present, see :func:`choose`.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import cast

from qdtrack_model import checkpoints
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.interface import (
    PRECISIONS,
    RUNTIMES,
    CompilingModule,
    Options,
    Runtime,
    RuntimeModule,
    RuntimeUnavailable,
    in_batches,
    resident_memory,
    to_detections,
    usable_cores,
)

__all__ = [
    "COMPILED", "FROM_WEIGHTS", "ON_CPU", "ON_GPU", "PRECISIONS", "RUNTIMES", "Options", "Runtime",
    "RuntimeUnavailable", "build", "candidates", "choose", "default_weights", "gpu", "in_batches", "load", "module_of",
    "resident_memory", "to_detections", "usable_cores",
]  # fmt: skip

log = logging.getLogger(__name__)

ON_GPU: tuple[str, ...] = ("tensorrt", "tensorrt_rtx", "torch_tensorrt", "aotinductor", "torch")  # best first
ON_CPU: tuple[str, ...] = ("onnxruntime", "torch")  # best first; exact ones alone
COMPILED = ("tensorrt", "tensorrt_rtx", "torch_tensorrt", "aotinductor")  # can build ahead of time, see `build`
FROM_WEIGHTS = ("aotinductor", "torch", "torch_tensorrt")  # those that take no exported graph


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
