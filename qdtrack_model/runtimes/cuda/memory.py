"""Memory of the GPU, alone or with a twin in the host's."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from qdtrack_model.runtimes.cuda.calls import CudaError, call, free
from qdtrack_model.structures import Array


class Memory:
    """Bytes on the GPU.

    Attributes:
        size: how many.
        device: their address there.
    """

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self.device = int(call(f"{size} bytes for {name}", "cudaMalloc", size))

    def close(self) -> None:
        """Free them."""
        free("cudaFree", self.device)


class Buffer:
    """A tensor on the GPU and its twin in pinned host memory, which copies reach without a detour.

    Args:
        shared: they are one, which both reach: for a GPU that has no memory of its own, as on a Jetson.

    Attributes:
        array: the twin in host memory, for reading and writing.
        device: address on the GPU.
        size: bytes of each.
        shared: as above; nothing needs to be copied.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], shared: bool = False) -> None:
        self.size, self.shared = int(np.prod(shape)) * dtype.itemsize, shared
        self._own = None if shared else Memory(name, self.size)
        purpose = f"{self.size} bytes of pinned memory for {name}"
        try:
            if shared:
                from cuda.bindings import runtime

                self._host = int(call(purpose, "cudaHostAlloc", self.size, runtime.cudaHostAllocMapped))
            else:
                self._host = int(call(purpose, "cudaMallocHost", self.size))
        except CudaError:
            if self._own is not None:
                self._own.close()
            raise
        if self._own is not None:
            self.device = self._own.device
        else:
            self.device = int(call(purpose, "cudaHostGetDevicePointer", self._host, 0))
        memory = (ctypes.c_uint8 * self.size).from_address(self._host)
        self.array: Array = np.frombuffer(memoryview(memory), dtype).reshape(shape)

    def close(self) -> None:
        """Free both; ``array`` must not be touched any more."""
        del self.array
        if self._own is not None:
            self._own.close()
        free("cudaFreeHost", self._host)
