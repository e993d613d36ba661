"""Classic TensorRT: the runtime of Jetsons and data-centre GPUs. An engine is built on the GPU that it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdtrack_model.cache import Identity
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.cuda import calls, stream
from qdtrack_model.runtimes.engine import EngineRuntime, load_engine
from qdtrack_model.runtimes.engine_builder import PRECISIONS, import_package, keep_engine, lacking
from qdtrack_model.runtimes.interface import Options, RuntimeUnavailable, release

__all__ = ["PRECISIONS", "build", "load", "missing"]

INSTALL = "TensorRT is not installed: it comes with JetPack, for other machines pip install tensorrt"
GPUS = "compute capability 8.0 or newer"  # of portable engines
OLDEST = 10  # networks are strongly typed from then on


def missing() -> str | None:
    """What this runtime lacks here."""
    found = gpu.find()
    return _missing_to_build() or (calls.missing(found.driver) if found else None)


def _missing_to_build() -> str | None:
    absent = lacking("tensorrt", INSTALL)
    if absent is None and gpu.find() is None:
        absent = "TensorRT needs an NVIDIA GPU and its driver, and there is none here"
    if absent is not None:
        return absent
    try:
        version = import_package("tensorrt").__version__
    except RuntimeUnavailable as error:
        return str(error)
    if release(version)[0] < OLDEST:
        return f"TensorRT {version} is too old, expected {OLDEST} or newer: it comes with JetPack 6 or newer"
    return None


def build(checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False) -> Path:
    """The engine for the GPU here, built where it is not in the cache yet; see ``CompilingModule``."""
    absent, found = _missing_to_build(), gpu.find()
    if absent is not None or found is None:
        raise RuntimeUnavailable(str(absent))
    if capability not in (None, found.compute):
        raise ValueError(
            f"compute capability: got {capability}, but TensorRT builds for the GPU it runs on, a {found.name} with "
            f"{found.compute}; build there, or take tensorrt_rtx"
        )
    trt = import_package("tensorrt")
    target = _portable(trt) if options.portable else found.identity()
    return keep_engine(trt, checkpoint, options, target, (), progress)


def _portable(trt: Any) -> Identity:
    """What a portable engine is good for: also later versions of TensorRT, up to the next major one."""
    return {"gpus": GPUS, "version": f"{release(trt.__version__)[0]}, that of the build or newer"}


def load(checkpoint: Checkpoint, options: Options) -> EngineRuntime:
    """The engine, built where needed, on the GPU."""
    stream.check()
    trt, found = import_package("tensorrt"), gpu.find()
    own = found.identity() if found else {}
    return load_engine(trt, checkpoint, options, own, _portable(trt), lambda: build(checkpoint, options))
