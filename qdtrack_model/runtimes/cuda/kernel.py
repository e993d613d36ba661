"""Kernels of our own: compiled by NVRTC, which comes with CUDA, for the GPU that is here, and launched."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from typing import Any

from qdtrack_model.runtimes.cuda.calls import CudaError
from qdtrack_model.runtimes.interface import RuntimeUnavailable

log = logging.getLogger(__name__)

BLOCK = (32, 8)  # threads: a row of them reads pixels side by side
ADDRESS, NUMBER = ctypes.c_void_p, ctypes.c_int  # kinds of arguments


def compiled(source: str, name: str, compute: str) -> bytes:
    """Machine code of CUDA C++ for GPUs of one compute capability, such as ``8.9``.

    For a GPU, and not for all of them (PTX): what the driver would have to translate must not be newer than itself.

    Raises:
        RuntimeUnavailable: there is no NVRTC here, or it does not know such GPUs.
    """
    from cuda.bindings import nvrtc

    def call(function: str, *arguments: Any) -> Any:
        status, *results = getattr(nvrtc, function)(*arguments)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            reason = nvrtc.nvrtcGetErrorString(status)[1].decode()
            raise RuntimeUnavailable(f"NVRTC cannot compile {name} for compute capability {compute}: {reason}")
        return results[0] if results else None

    try:
        program = call("nvrtcCreateProgram", source.encode(), name.encode(), 0, [], [])
    except RuntimeError as error:
        if isinstance(error, RuntimeUnavailable):
            raise
        remedy = "pip install nvidia-cuda-nvrtc, for CUDA 12 nvidia-cuda-nvrtc-cu12"
        raise RuntimeUnavailable(f"NVRTC, a library of CUDA, is not installed: {remedy}") from None
    options = [f"--gpu-architecture=sm_{compute.replace('.', '')}".encode()]
    call("nvrtcCompileProgram", program, len(options), options)
    code = bytes(call("nvrtcGetCUBINSize", program))
    call("nvrtcGetCUBIN", program, code)
    call("nvrtcDestroyProgram", program)
    return code


class Kernel:
    """A kernel in the GPU's memory; the calling thread must have used the GPU before.

    Args:
        code: of :func:`compiled`.
        name: of the function.
        kinds: of its arguments.
    """

    def __init__(self, code: bytes, name: str, kinds: Sequence[type[Any]]) -> None:
        self._kinds = tuple(kinds)
        self._module = self._call("cuModuleLoadData", code)
        self._function = self._call("cuModuleGetFunction", self._module, name.encode())

    def launch(self, stream: int, width: int, height: int, *arguments: int) -> None:
        """Enqueue it in a stream, by its handle, with a thread for each of ``width`` times ``height`` pixels."""
        grid = (-(-width // BLOCK[0]), -(-height // BLOCK[1]))
        self._call("cuLaunchKernel", self._function, *grid, 1, *BLOCK, 1, 0, stream, (arguments, self._kinds), 0)

    @staticmethod
    def _call(function: str, *arguments: Any) -> Any:
        from cuda.bindings import driver

        status, *results = getattr(driver, function)(*arguments)
        if status != driver.CUresult.CUDA_SUCCESS:
            raise CudaError(f"the GPU refuses a kernel: {driver.cuGetErrorString(status)[1].decode()} ({function})")
        return results[0] if results else None

    def close(self) -> None:
        """Unload it."""
        try:
            self._call("cuModuleUnload", self._module)
        except CudaError as error:  # as when other things are freed
            log.warning("%s", error)
