"""TensorRT for RTX, from PyPI: engines can be built without a GPU, and one serves every GPU of a compute capability.

Its kernels are finished on the GPU when an engine is loaded for the first time, and kept.
"""

from __future__ import annotations

from pathlib import Path

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.cuda import calls, stream
from qdtrack_model.runtimes.engine import EngineRuntime, load_engine
from qdtrack_model.runtimes.engine_builder import PRECISIONS, import_package, keep_engine, lacking
from qdtrack_model.runtimes.interface import Options, RuntimeUnavailable

__all__ = ["CAPABILITIES", "PRECISIONS", "build", "load", "missing"]

# Those that it supports by its documentation (version 1.7) but 7.5: for that the builder refuses matrix products in
# float32, and every network has some. It has a name for 8.0, too, but no word of support.
CAPABILITIES = ("8.6", "8.9", "12.0", "12.1")
PORTABLE = {"capability": ", ".join(CAPABILITIES)}
INSTALL = (
    'TensorRT for RTX is not installed: pip install "qdtrack[tensorrt-rtx]", with a driver before 580 '
    '"qdtrack[tensorrt-rtx-cu12]"'
)


def missing() -> str | None:
    """What this runtime lacks here."""
    absent = lacking("tensorrt_rtx", INSTALL)
    if absent is not None:
        return absent
    found = gpu.find()
    if found is None:
        return "TensorRT for RTX needs an NVIDIA GPU and its driver, and there is none here"
    if found.compute not in CAPABILITIES:
        return (
            f"TensorRT for RTX has nothing for compute capability {found.compute} ({found.name}), only for "
            f"{', '.join(CAPABILITIES)}; take classic TensorRT, runtime tensorrt"
        )
    return calls.missing(found.driver)


def build(checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False) -> Path:
    """The engine for GPUs of ``capability``, or a portable one for all of CAPABILITIES; see ``CompilingModule``."""
    absent = lacking("tensorrt_rtx", INSTALL)
    if absent is not None:
        raise RuntimeUnavailable(absent)
    trt, found = import_package("tensorrt_rtx"), gpu.find()
    if options.portable:
        if capability is not None:
            raise ValueError(
                f"compute capability: got {capability}, a portable engine is for {PORTABLE['capability']}: leave one "
                "of the two away"
            )
        return keep_engine(trt, checkpoint, options, PORTABLE, CAPABILITIES, progress)
    if capability is None and found is None:
        raise RuntimeUnavailable("no NVIDIA GPU here to build for; say for which with --compute-capability, as in 8.9")
    wanted = capability or (found.compute if found else "")
    if wanted not in CAPABILITIES:
        raise ValueError(
            f"compute capability: got {wanted}, TensorRT for RTX builds for {', '.join(CAPABILITIES)}; others, such as "
            "7.5 (Turing), 8.0 (A100), 8.7 (Orin) and 9.0 (Hopper), take classic TensorRT"
        )
    return keep_engine(trt, checkpoint, options, {"capability": wanted}, (wanted,), progress)


def load(checkpoint: Checkpoint, options: Options) -> EngineRuntime:
    """The engine, built where needed, on the GPU."""
    stream.check()
    trt, found = import_package("tensorrt_rtx"), gpu.find()
    own = {"capability": found.compute if found else ""}
    return load_engine(trt, checkpoint, options, own, PORTABLE, lambda: build(checkpoint, options))
