"""Runtimes: what runs a network. All take uint8 images of the network's input size and give detections.

Every runtime is one module with ``PRECISIONS`` (the first is what it computes in where nothing is said), ``missing()``
(what it lacks here, or None) and ``load(checkpoint, options)``; none imports what it needs before it is asked to load.
``load(checkpoint, Options("auto"))`` picks by what is present, see :func:`choose`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

from qdtrack_model import checkpoints
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu, openvino
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
    "COMPILED", "FROM_WEIGHTS", "ON_CPU", "ON_GPU", "PRECISIONS", "RUNTIMES", "Choice", "Options", "Runtime",
    "RuntimeUnavailable", "build", "candidates", "choose", "default_weights", "gpu", "in_batches", "load",
    "module_of", "resident_memory", "to_detections", "usable_cores",
]  # fmt: skip

log = logging.getLogger(__name__)

ON_GPU: tuple[str, ...] = ("tensorrt", "tensorrt_rtx", "torch_tensorrt", "aotinductor", "torch")  # best first
ON_CPU: tuple[str, ...] = ("openvino", "onnxruntime", "torch")  # best first
COMPILED = ("tensorrt", "tensorrt_rtx", "torch_tensorrt", "aotinductor")  # can build ahead of time, see `build`
FROM_WEIGHTS = ("aotinductor", "torch", "torch_tensorrt")  # those that take no exported graph


def module_of(runtime: str) -> RuntimeModule:
    """The module of a runtime by its name in RUNTIMES."""
    return cast(RuntimeModule, importlib.import_module(RUNTIMES[runtime]))


class Choice(NamedTuple):
    """What ``auto`` stands for.

    Attributes:
        runtime: one of RUNTIMES.
        precision: what it is to compute in; ``auto`` where that is left to the runtime.
        reason: why, with what a better choice would need.
        approximate: whether the precision is less than the weights have, for a gain in speed: results are looked at.
    """

    runtime: str
    precision: str
    reason: str
    approximate: bool = False


def choose(checkpoint: Checkpoint, precision: str = "auto", without: Collection[str] = ()) -> Choice:
    """The runtime that ``auto`` stands for on this machine: the first of :func:`candidates` that suits.

    Nothing is timed and nothing loaded: what is installed and what the processor multiplies decide.

    Args:
        checkpoint: weights or a graph.
        precision: what it is to compute in, one of PRECISIONS or ``auto``.
        without: runtimes that are out of the question.

    Raises:
        RuntimeUnavailable: none can run.
    """
    found = gpu.find()
    reason = f"GPU {found.name}" if found else "no GPU"
    for name in candidates():
        if name in without:
            continue
        lacking = _unsuitable(name, checkpoint, precision)
        if lacking is None:
            if name == "openvino" and precision == "auto" and checkpoint.graph is None:
                return Choice(name, "bf16", f"{reason}; the processor multiplies bf16", approximate=True)
            return Choice(name, precision, reason)
        reason += f"; not {name}: {lacking}"
    raise RuntimeUnavailable(f"no runtime can run {checkpoint.path.name} here: {reason}")


def candidates() -> tuple[str, ...]:
    """The runtimes that ``auto`` and ``fallback`` look at on this machine, best first; a GPU before the CPU."""
    return tuple(dict.fromkeys((*ON_GPU, *ON_CPU))) if gpu.find() else ON_CPU


def _unsuitable(name: str, checkpoint: Checkpoint, precision: str) -> str | None:
    """Why a runtime should not run these weights or this graph here, or None where it should."""
    module = module_of(name)
    if checkpoint.graph is not None:
        precision = checkpoint.graph.precision
        if name in FROM_WEIGHTS:
            return "it takes weights, no exported graph"
    if precision not in ("auto", *module.PRECISIONS):
        return f"it does not compute in {precision}"
    gainless = openvino.gainless(precision) if name == "openvino" else None
    return gainless or module.missing()


def load(checkpoint: Checkpoint, options: Options | None = None) -> Runtime:
    """Load a network into a runtime.

    What ``auto`` takes in less than the precision of the weights is held against them once, and left where its results
    do not hold (:mod:`agreement`) or it cannot be loaded. With ``options.fallback`` any runtime that cannot be loaded
    is replaced, with a warning, by the next best that can; otherwise its failure is the caller's.

    Raises:
        ValueError: the runtime has no such precision, or the graph does not suit.
        RuntimeUnavailable: the runtime is not installed, or what it needs is not there.
        CacheError: what was built for it cannot be kept.
    """
    options = options or Options()
    choice = Choice(options.runtime, options.precision, "asked for")
    if options.runtime == "auto":
        choice = choose(checkpoint, options.precision)
        log.info("runtime %s: %s", choice.runtime, choice.reason)
    failed: list[str] = []
    while True:
        try:
            return _load_chosen(checkpoint, options, choice)
        except (RuntimeError, MemoryError) as error:  # RuntimeError: also what CUDA, TensorRT and torch raise
            if not (options.fallback or choice.approximate):
                raise
            failed.append(choice.runtime)
            failure = error
        try:
            other = choose(checkpoint, without=failed)
        except RuntimeUnavailable:
            raise failure from None
        log.warning("runtime %s cannot be used (%s): falling back to %s", choice.runtime, failure, other.runtime)
        choice = other


def _load_chosen(checkpoint: Checkpoint, options: Options, choice: Choice) -> Runtime:
    """The runtime of a choice; an exact one instead where its results do not hold."""
    runtime = _load(checkpoint, replace(options, runtime=choice.runtime, precision=choice.precision))
    if not choice.approximate:
        return runtime
    assert isinstance(runtime, openvino.OpenvinoRuntime)
    agreement = runtime.agreement(checkpoint)
    if agreement.holds:
        log.info("results of bf16 hold: %s", agreement)
        return runtime
    runtime.close()
    exact = choose(checkpoint, "fp32")
    log.warning("results of bf16 do not hold, %s: runtime %s in fp32", agreement, exact.runtime)
    return _load(checkpoint, replace(options, runtime=exact.runtime, precision="fp32"))


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
    name = choose(checkpoints.load(large)).runtime if runtime == "auto" else runtime
    return large if name in ON_GPU else small
