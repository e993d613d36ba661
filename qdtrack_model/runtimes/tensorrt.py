"""Classic TensorRT: the runtime of Jetsons and data-centre GPUs. An engine is built on the GPU that it is for."""

from __future__ import annotations

from pathlib import Path

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.engine import EngineRuntime
from qdtrack_model.runtimes.engine_builder import PRECISIONS, import_package, keep_engine, lacking
from qdtrack_model.runtimes.interface import Options, RuntimeUnavailable

__all__ = ["PRECISIONS", "build", "load", "missing"]

INSTALL = "TensorRT is not installed: it comes with JetPack, for other machines pip install tensorrt"
CUDA = 'cuda-bindings is not installed: pip install "qdtrack[tensorrt]"'


def missing() -> str | None:
    """What this runtime lacks here."""
    return lacking("tensorrt", INSTALL) or lacking("cuda.bindings", CUDA) or _no_gpu()


def _no_gpu() -> str | None:
    return None if gpu.find() else "TensorRT needs an NVIDIA GPU and its driver, and there is none here"


def build(checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False) -> Path:
    """The engine for the GPU here, built where it is not in the cache yet; see ``CompilingModule``."""
    absent = lacking("tensorrt", INSTALL) or _no_gpu()
    found = gpu.find()
    if absent is not None or found is None:
        raise RuntimeUnavailable(str(absent))
    if capability not in (None, found.compute):
        raise ValueError(
            f"compute capability: got {capability}, but TensorRT builds for the GPU it runs on, a {found.name} with "
            f"{found.compute}; build there, or take tensorrt_rtx"
        )
    return keep_engine(import_package("tensorrt"), checkpoint, options, found.identity(), None, progress)


def load(checkpoint: Checkpoint, options: Options) -> EngineRuntime:
    """The engine, built where needed, on the GPU."""
    return EngineRuntime(import_package("tensorrt"), build(checkpoint, options), checkpoint, options)
