"""From an exported graph to a TensorRT engine, by TensorRT's own parser and builder.

Classic TensorRT (package ``tensorrt``) and TensorRT for RTX (``tensorrt_rtx``) have one interface; ``trt`` below is the
one or the other package.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from qdtrack_model.atomic import atomic_write
from qdtrack_model.cache import Identity, keep
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes.graph import graph_identity, graph_of
from qdtrack_model.runtimes.interface import Options, RuntimeUnavailable, permitted

PRECISIONS = ("fp16", "fp32", "bf16", "int8-fp16")

_TOLD_EVERY = 5.0  # seconds
BAR = "{desc}: {n_fmt} of {total_fmt} steps, {elapsed}"

log = logging.getLogger(__name__)


class EngineError(RuntimeError):
    """An engine that cannot be built, loaded or run; the text says which, why, and what to do."""


class UnfitEngine(EngineError):
    """An engine that this version of TensorRT cannot load, or for another input."""


def lacking(package: str, remedy: str) -> str | None:
    """``remedy`` where the package is not installed."""
    with contextlib.suppress(ModuleNotFoundError):  # of a part of a package, where the whole is not there
        if importlib.util.find_spec(package) is not None:
            return None
    return remedy


def import_package(name: str) -> Any:
    """The package ``name``.

    Raises:
        RuntimeUnavailable: it is there but cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # a library of another version of CUDA, TensorRT or torch
        reason = str(error).strip().partition("\n")[0]
        raise RuntimeUnavailable(
            f"{name} is installed but cannot be loaded: {reason}; see docs/deployment.md"
        ) from None


def engine_identity(trt: Any, checkpoint: Checkpoint, options: Options, target: Identity) -> Identity:
    """What an engine depends on: ``target``, the GPUs that it is good for, and what they have in common."""
    of_graph = graph_identity(checkpoint, options.precision, options.batch)
    return {**of_graph, "runtime": trt.__name__, "version": trt.__version__, **target}


def keep_engine(
    trt: Any, checkpoint: Checkpoint, options: Options, target: Identity, capabilities: Sequence[str], progress: bool
) -> Path:
    """The engine in the cache, built where it is not there yet.

    Args:
        trt: the package ``tensorrt`` or ``tensorrt_rtx``.
        checkpoint: weights, which are exported where their graph is not in the cache yet, or a graph.
        options: precision, one of PRECISIONS, and batch.
        target: as of :func:`engine_identity`.
        capabilities: as of :func:`build_engine`.
        progress: show a bar.

    Raises:
        CacheError: the cache folder cannot be written.
        EngineError: the engine cannot be built.
        GraphError: a graph of another precision or batch, or weights where int8-fp16 needs a graph.
    """
    identity = engine_identity(trt, checkpoint, options, target)

    def build(path: Path) -> None:
        log.info("graph of %s in %s, exported where it is not yet", checkpoint.path.name, options.precision)
        graph = graph_of(checkpoint, options.precision, options.batch)
        log.info("engine of %s by %s %s", graph.name, trt.__name__, trt.__version__)
        build_engine(trt, graph, path, capabilities, progress, options)

    anew = options.optimization_level is not None
    return keep(checkpoint.path.stem, ".engine", identity, permitted(build, checkpoint, options), anew)


def listen(trt: Any) -> Any:
    """A logger for TensorRT's objects, which must outlive them; ``first_error()`` tells once what went wrong."""

    class Messages(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message.strip())
            else:
                log.debug("%s", message)

        def first_error(self) -> str:
            text = self.errors[0].splitlines()[0] if self.errors else "it gives no reason"
            if any("out of memory" in error.lower() or "OutOfMemory" in error for error in self.errors):
                text += "; out of memory: close other programs, or take a smaller batch or half precision"
            self.errors.clear()
            return text

    return Messages()


def create(trt: Any, kind: str, messages: Any) -> Any:
    """A ``Builder`` or ``Runtime`` of TensorRT that tells ``messages``.

    Raises:
        EngineError: there is none to be had here.
    """
    try:
        return getattr(trt, kind)(messages)
    except TypeError:  # what the bindings make of a null pointer, as where there is no GPU or its driver is too old
        raise EngineError(f"{trt.__name__} {trt.__version__} cannot start: {messages.first_error()}") from None


def build_engine(
    trt: Any,
    graph: Path,
    path: Path,
    capabilities: Sequence[str],
    progress: bool = False,
    options: Options | None = None,
) -> None:
    """Build the engine of ``graph`` (.onnx) and write it to ``path``.

    Args:
        trt: the package.
        graph: its types decide the precision of every layer (the network is strongly typed).
        path: file to write.
        capabilities: compute capabilities to build for, such as ``8.9``; that of the GPU here where there are none.
        progress: show a bar.
        options: whether it goes on, how much is tried, and whether an engine for the GPU here is for all others from
            Ampere on, too, and for later versions.

    Raises:
        EngineError: the graph cannot be read, an operation is not supported, or the build fails.
        KeyboardInterrupt: the build was stopped.
    """
    options = options or Options()
    messages = listen(trt)
    product = trt.__name__
    builder = create(trt, "Builder", messages)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, messages)
    if not parser.parse_from_file(str(graph)):
        raise EngineError(f"{graph}: {product} {trt.__version__} cannot read this graph: {_complaint(parser)}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 shall mean fp32; who wants speed takes half precision
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # of TensorRT for RTX: what a CUDA graph asks for
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if capabilities:
        config.num_compute_capabilities = len(capabilities)
        for place, capability in enumerate(capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, "SM" + capability.replace(".", "")), place)
    elif options.portable:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    timings = path.parent / f"{product}-{trt.__version__}.timings"
    if not capabilities:  # TensorRT for RTX times nothing while it builds for another GPU
        reuse_timings(config, timings)
    monitor = _monitor(trt, progress, options.goes_on)
    config.progress_monitor = monitor
    # In a thread of its own: Python then takes Ctrl-C, and the monitor ends the build in good order.
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(builder.build_serialized_network, network, config)
        try:
            plan = future.result()
        except KeyboardInterrupt:
            log.warning("stopping; %s ends with the step it is at", product)
            raise
        finally:
            monitor.stop()
    if plan is None and not options.goes_on():
        raise EngineError(f"{graph}: building its engine was stopped")
    if plan is None:
        raise EngineError(f"{graph}: {product} {trt.__version__} cannot build its engine: {messages.first_error()}")
    path.write_bytes(memoryview(plan))
    if not capabilities:
        keep_timings(config, timings)


def reuse_timings(config: Any, path: Path) -> None:
    """Have the builder take what it measured in earlier builds from ``path``, as far as that is of this GPU."""
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known) or config.create_timing_cache(b"")
    config.set_timing_cache(cache, False)  # False: what is of another GPU is not used


def keep_timings(config: Any, path: Path) -> None:
    """Write what the builder measured to ``path``; where that cannot be written it is measured again next time."""
    measured = config.get_timing_cache().serialize()
    with contextlib.suppress(OSError), atomic_write(path) as partial:
        partial.write_bytes(memoryview(measured))


def _complaint(parser: Any) -> str:
    if not parser.num_errors:
        return "it gives no reason; is the file complete?"
    error = parser.get_error(0)
    place = f" ({error.node_operator()} {error.node_name()})" if error.node_operator() else ""
    return f"{error.desc().splitlines()[0]}{place}"


def _monitor(trt: Any, progress: bool, goes_on: Callable[[], bool]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """One bar for all phases, whose number of steps grows as phases begin; ``stop`` ends the build."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.going = True
            self.steps = self.known = 0  # done, and in all phases that have begun
            self.told = time.monotonic()
            self.bar = tqdm(total=0, leave=False, bar_format=BAR, disable=None if progress else True)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.known += steps
            self.bar.total = self.known
            self.bar.set_description(phase)

        def step_complete(self, phase: str, step: int) -> bool:
            self.steps += 1
            self.bar.update()
            now = time.monotonic()
            if now > self.told + _TOLD_EVERY:
                self.told = now
                log.info("building the engine: step %d of %d so far", self.steps, self.known)
            return self.going and goes_on()

        def phase_finish(self, phase: str) -> None:
            self.bar.refresh()

        def stop(self) -> None:
            self.going = False
            self.bar.close()

    return Monitor()
