"""Calls to CUDA by cuda-bindings, without torch, and what becomes of their errors."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import Any

from qdtrack_model.runtimes.interface import release

log = logging.getLogger(__name__)


class CudaError(RuntimeError):
    """A call to CUDA that failed; the text says what was wanted and what to do."""


def missing(driver: int) -> str | None:
    """Why a driver of CUDA version ``driver`` (12060 for 12.6) cannot be used from here, or None where it can."""
    major = driver // 1000
    # CUDA 12 is that of JetPack 6. Bindings before 12.9.1 stop all threads of Python while one waits for the GPU.
    remedy = 'pip install "cuda-bindings>=13,<14"' if major >= 13 else 'pip install "cuda-bindings>=12.9.1,<13"'
    try:
        installed = importlib.metadata.version("cuda-bindings")
    except importlib.metadata.PackageNotFoundError:
        return f"cuda-bindings is not installed: {remedy}"
    if release(installed)[0] > major:
        here = f"{major}.{driver % 1000 // 10}"
        return f"cuda-bindings {installed} needs a newer driver than the one here, of CUDA {here}: {remedy}"
    return None


def call(purpose: str, function: str, *arguments: Any) -> Any:
    """Call ``function`` of the CUDA runtime; its result, or None where it has none.

    Args:
        purpose: what it is for, for the error: ``1.4 MB for boxes``.
        function: name, such as ``cudaMalloc``.

    Raises:
        CudaError: it failed.
    """
    from cuda.bindings import runtime

    status, *results = getattr(runtime, function)(*arguments)
    if status != runtime.cudaError_t.cudaSuccess:
        runtime.cudaGetLastError()  # or the next call reports it again
        text = runtime.cudaGetErrorString(status)[1].decode()
        advice = ""
        if status == runtime.cudaError_t.cudaErrorMemoryAllocation:
            advice = "; close other programs that use the GPU, or take a smaller batch or half precision"
        elif status == runtime.cudaError_t.cudaErrorInsufficientDriver:
            advice = "; update the NVIDIA driver, or install the cuda-bindings of its CUDA version"
        raise CudaError(f"the GPU refuses {purpose}: {text} ({function}){advice}")
    return results[0] if results else None


def free(function: str, *arguments: Any) -> None:
    """Call ``function``, which frees something, and log its failure instead of raising.

    After a fault of the GPU every call fails: the first failure is the one to report, and the rest shall be freed too.
    """
    try:
        call("freeing", function, *arguments)
    except CudaError as error:
        log.warning("%s", error)
