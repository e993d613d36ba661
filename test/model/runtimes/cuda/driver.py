"""A driver of CUDA that needs no GPU: the functions of ``cuda.bindings`` that are used, on host memory.

Its memory is real, so that a copy in the wrong direction, of the wrong size or too late shows; what is enqueued is done
when somebody waits for it, and no earlier; kernels are compiled for the processor from their own source; and it keeps
count of what is not freed.
"""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from qdtrack_model.runtimes.cuda import fitting, kernel

# What CUDA C++ has and C++ has not, and a grid of threads one after the other.
_HOST = r"""
#include <stddef.h>
struct int4 { int x, y, z, w; };
struct dim3 { unsigned x, y, z; };
static dim3 blockIdx, blockDim, threadIdx;
#define __global__
#include "%s"
extern "C" void launch(const unsigned *grid, const unsigned *block, void **p) {
    blockDim = {block[0], block[1], 1};
    for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
    for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++)
    for (threadIdx.y = 0; threadIdx.y < block[1]; threadIdx.y++)
    for (threadIdx.x = 0; threadIdx.x < block[0]; threadIdx.x++)
        resize(*(const unsigned char **)p[0], *(unsigned char **)p[1], *(const int4 **)p[2], *(const int4 **)p[3],
               *(int *)p[4], *(int *)p[5], *(int *)p[6], *(int *)p[7], *(int *)p[8], *(int *)p[9]);
}
"""


@cache
def resize_on_host() -> Any:
    """``resize.cu`` for the processor: a function of grid, block and addresses of arguments."""
    source = Path(kernel.__file__).with_name("resize.cu")
    with TemporaryDirectory() as folder:
        program, library = Path(folder, "resize.cpp"), Path(folder, "resize.so")
        program.write_text(_HOST % source)
        flags = ["-O2", "-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
        subprocess.run(["g++", *flags, program, "-o", library], check=True)
        return ctypes.CDLL(str(library)).launch


@dataclass
class _Queue:
    """What is enqueued in a stream, and how much was done."""

    waiting: deque[Callable[[], object]] = field(default_factory=deque)
    enqueued: int = 0
    done: int = 0


class Driver:
    """Stands in for ``cuda.bindings.runtime`` and ``cuda.bindings.driver``.

    Args:
        patch: puts it there.
        room: the largest allocation.
        capture: whether streams can be recorded.
        integrated: whether the GPU has no memory of its own.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, room: int = 1 << 30, capture: bool = True, integrated: bool = False
    ) -> None:
        from cuda.bindings import driver, runtime

        for name in (
            "cudaError_t", "cudaMemcpyKind", "cudaStreamCaptureMode", "cudaGetErrorString", "cudaDeviceAttr",
            "cudaStreamNonBlocking", "cudaEventDisableTiming", "cudaHostAllocMapped",
        ):  # fmt: skip
            setattr(self, name, getattr(runtime, name))
        self.CUresult = driver.CUresult
        self.ok: tuple[Any, ...] = (runtime.cudaError_t.cudaSuccess,)
        self.full = (runtime.cudaError_t.cudaErrorMemoryAllocation, None)
        self.fine: tuple[Any, ...] = (driver.CUresult.CUDA_SUCCESS,)
        self.room, self.capture, self.integrated = room, capture, integrated
        self.memory: dict[int, Any] = {}
        self.objects: set[str] = set()
        self.handles = itertools.count(7)
        self.streams: dict[int, _Queue] = {0: _Queue()}
        self.events: dict[int, tuple[int, int]] = {}  # the stream, and how much of it comes before
        self.recording: list[Callable[[], object]] | None = None
        self.launches = self.kernels = self.copied = 0
        self.cuuint64_t = driver.cuuint64_t
        self.cudaMemPoolAttr = runtime.cudaMemPoolAttr
        self.kept = 0  # bytes in the pool of freed memory
        fitting._stream.cache_clear()  # of another driver
        patch.setattr("cuda.bindings.runtime", self)
        patch.setattr("cuda.bindings.driver", self)

    # ---- memory

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if size > self.room:
            return self.full
        block = (ctypes.c_uint8 * size)(*b"\xa5" * min(size, 64))  # nobody may rely on zeros
        self.memory[ctypes.addressof(block)] = block
        return (*self.ok, ctypes.addressof(block))

    cudaMallocHost = cudaMalloc

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        assert flags == self.cudaHostAllocMapped  # type: ignore[attr-defined]
        return self.cudaMalloc(size)

    def cudaHostGetDevicePointer(self, address: int, flags: int) -> tuple[Any, ...]:
        assert address in self.memory and flags == 0
        return (*self.ok, address)

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        del self.memory[address]
        return self.ok

    cudaFreeHost = cudaFree

    def holds(self, address: int, size: int) -> bool:
        """Whether so many bytes from an address on are of one allocation."""
        return any(begin <= address and address + size <= begin + len(block) for begin, block in self.memory.items())

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: int) -> tuple[Any, ...]:
        assert self.holds(target, size) and self.holds(source, size)
        self.copied += size
        self.enqueue(stream, lambda: ctypes.memmove(target, source, size))
        return self.ok

    def left(self) -> set[object]:
        """What is there still, but for the stream that stays as long as the process."""
        of_process = {f"stream {fitting._stream().handle}"} if fitting._stream.cache_info().currsize else set()
        return {*self.memory, *(self.objects - of_process)}

    # ---- the device

    def cudaDeviceGetDefaultMemPool(self, device: int) -> tuple[Any, ...]:
        return (*self.ok, "pool")

    def cudaMemPoolSetAttribute(self, pool: str, attribute: Any, value: Any) -> tuple[Any, ...]:
        assert pool == "pool" and attribute == self.cudaMemPoolAttr.cudaMemPoolAttrReleaseThreshold
        self.kept = int(value)
        return self.ok

    def cudaSetDevice(self, device: int) -> tuple[Any, ...]:
        assert device == 0
        return self.ok

    def cudaDeviceGetAttribute(self, attribute: Any, device: int) -> tuple[Any, ...]:
        assert attribute == self.cudaDeviceAttr.cudaDevAttrIntegrated  # type: ignore[attr-defined]
        return (*self.ok, int(self.integrated))

    # ---- streams and events

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        handle = next(self.handles)
        self.streams[handle] = _Queue()
        self.objects.add(f"stream {handle}")
        return (*self.ok, handle)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        self._do(stream, self.streams[stream].enqueued)
        self.objects.remove(f"stream {stream}")
        return self.ok

    def enqueue(self, stream: int, work: Callable[[], object]) -> None:
        if self.recording is not None:
            self.recording.append(work)
            return
        queue = self.streams[stream]
        queue.waiting.append(work)
        queue.enqueued += 1

    def _do(self, stream: int, count: int) -> None:
        """Do what a stream holds until so much of it is done."""
        queue = self.streams[stream]
        while queue.done < count:
            queue.waiting.popleft()()
            queue.done += 1

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        self._do(stream, self.streams[stream].enqueued)
        return self.ok

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        handle = next(self.handles)
        self.events[handle] = (0, 0)
        self.objects.add(f"event {handle}")
        return (*self.ok, handle)

    def cudaEventDestroy(self, event: int) -> tuple[Any, ...]:
        self.objects.remove(f"event {event}")
        return self.ok

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Any, ...]:
        self.events[event] = (stream, self.streams[stream].enqueued)
        return self.ok

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple[Any, ...]:
        moment = self.events[event]
        self.enqueue(stream, lambda: self._do(*moment))
        return self.ok

    def cudaEventSynchronize(self, event: int) -> tuple[Any, ...]:
        self._do(*self.events[event])
        return self.ok

    # ---- recordings

    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> tuple[Any, ...]:
        self.recording = []
        return self.ok

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        graph, self.recording = self.recording, None
        if not self.capture:
            return (self.cudaError_t.cudaErrorStreamCaptureInvalidated, None)  # type: ignore[attr-defined]
        self.objects.add("graph")
        return (*self.ok, graph)

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any, ...]:
        self.objects.add("instance")
        return (*self.ok, graph)

    def cudaGraphDestroy(self, graph: Any) -> tuple[Any, ...]:
        self.objects.remove("graph")
        return self.ok

    def cudaGraphExecDestroy(self, graph: Any) -> tuple[Any, ...]:
        assert self.memory, "freed before the recording that uses it"
        self.objects.remove("instance")
        return self.ok

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[Any, ...]:
        self.launches += 1
        for work in graph:
            self.enqueue(stream, work)
        return self.ok

    # ---- kernels

    def cuGetErrorString(self, status: Any) -> tuple[Any, ...]:
        return (*self.fine, b"an illegal memory access was encountered")

    def cuModuleLoadData(self, code: bytes) -> tuple[Any, ...]:
        assert code.startswith(b"\x7fELF")
        self.objects.add("module")
        return (*self.fine, 1)

    def cuModuleGetFunction(self, module: int, name: bytes) -> tuple[Any, ...]:
        assert name == b"resize"
        return (*self.fine, resize_on_host())

    def cuModuleUnload(self, module: int) -> tuple[Any, ...]:
        self.objects.remove("module")
        return self.fine

    def cuLaunchKernel(self, function: Any, *how: Any) -> tuple[Any, ...]:
        grid, block, (shared, stream), (values, kinds), extra = how[:3], how[3:6], how[6:8], how[8], how[9]
        assert (shared, extra, grid[2], block[2]) == (0, 0, 1, 1)
        arguments = [kind(value) for value, kind in zip(values, kinds, strict=True)]
        addresses = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(one) for one in arguments))

        def run() -> None:
            assert arguments is not None and all(self.holds(one, 1) for one in values[:4])
            function((ctypes.c_uint * 2)(*grid[:2]), (ctypes.c_uint * 2)(*block[:2]), addresses)

        self.kernels += 1
        self.enqueue(stream, run)
        return self.fine

    # ---- faults

    def cudaGetLastError(self) -> tuple[Any, ...]:
        return self.ok

    def break_down(self, at: str) -> None:
        """From the next call of ``at`` on every call fails, as it is after an illegal access to memory."""

        def fail(*_: Any) -> tuple[Any, ...]:
            for name in (name for name in vars(Driver) if name.startswith("cu") and "ErrorString" not in name):
                kernels = not name.startswith("cuda")
                setattr(self, name, (lambda *_: (broken, None)) if kernels else fail)
            return (self.cudaError_t.cudaErrorIllegalAddress, None)  # type: ignore[attr-defined]

        broken = self.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS
        setattr(self, at, fail)
