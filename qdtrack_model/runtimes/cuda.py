"""CUDA as far as an engine needs it, by cuda-bindings and without torch: a stream, buffers, a recorded frame."""

from __future__ import annotations

import ctypes
import importlib.metadata
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from qdtrack_model.runtimes.interface import release
from qdtrack_model.structures import Array

PIECEWISE = "frames are enqueued piece by piece, which is slower: no CUDA graph, "

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


class Buffer:
    """A tensor on the GPU and its twin in pinned host memory, which copies reach without a detour.

    Attributes:
        array: the twin in host memory, for reading and writing.
        device: address on the GPU.
        size: bytes of each.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.size = int(np.prod(shape)) * dtype.itemsize
        self.device = int(call(f"{self.size} bytes for {name}", "cudaMalloc", self.size))
        try:
            self._host = int(call(f"{self.size} bytes of pinned memory for {name}", "cudaMallocHost", self.size))
        except CudaError:
            free("cudaFree", self.device)
            raise
        memory = (ctypes.c_uint8 * self.size).from_address(self._host)
        self.array: Array = np.frombuffer(memoryview(memory), dtype).reshape(shape)

    def close(self) -> None:
        """Free both; ``array`` must not be touched any more."""
        del self.array
        free("cudaFree", self.device)
        free("cudaFreeHost", self._host)


def check() -> None:
    """Use the GPU once, so that what is wrong with it is known before an engine is built for minutes.

    Raises:
        CudaError: it cannot be used.
    """
    Stream().close()


class Recording:
    """A CUDA graph: work that was recorded once and is enqueued again by one call."""

    def __init__(self, graph: Any, stream: Any) -> None:
        self._executable = call("to prepare the recording", "cudaGraphInstantiate", graph, 0)
        self._stream = stream

    def replay(self) -> None:
        """Enqueue all that was recorded."""
        call("to run a frame", "cudaGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Free it; what it uses must still be there."""
        free("cudaGraphExecDestroy", self._executable)


class Stream:
    """An order of work on the GPU, independent of that of other threads."""

    def __init__(self) -> None:
        from cuda.bindings import runtime

        self._cuda = runtime
        self._handle = call("a stream", "cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)

    @property
    def handle(self) -> int:
        """The stream as other libraries take it."""
        return int(self._handle)

    def upload(self, buffer: Buffer) -> None:
        """Enqueue the copy from host memory to the GPU."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        host = buffer.array.ctypes.data
        call("a copy to it", "cudaMemcpyAsync", buffer.device, host, buffer.size, kind, self._handle)

    def download(self, buffer: Buffer) -> None:
        """Enqueue the copy from the GPU to host memory."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        host = buffer.array.ctypes.data
        call("a copy from it", "cudaMemcpyAsync", host, buffer.device, buffer.size, kind, self._handle)

    def synchronize(self) -> None:
        """Wait until all that was enqueued is done; what went wrong meanwhile is reported here."""
        call("to finish a frame", "cudaStreamSynchronize", self._handle)

    def record(self, enqueue: Callable[[], None]) -> Recording | None:
        """What ``enqueue`` enqueues as a recording, or None, with a warning, where that cannot be recorded.

        Nothing is executed. Run ``enqueue`` once before, for what is done at a first time only.
        """
        # Other threads of the process may go on using CUDA meanwhile.
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        failure: RuntimeError | None = None
        graph: Any = None
        recording: Recording | None = None
        try:
            call("to record a frame", "cudaStreamBeginCapture", self._handle, mode)
            enqueue()
        except RuntimeError as error:
            failure = error
        try:
            graph = call("to end the recording", "cudaStreamEndCapture", self._handle)
            if failure is None:
                recording = Recording(graph, self._handle)
        except CudaError as error:
            failure = failure or error
        if graph is not None:
            free("cudaGraphDestroy", graph)
        if failure is not None:
            log.warning("%s%s", PIECEWISE, failure)
        return recording

    def close(self) -> None:
        """Free the stream."""
        free("cudaStreamDestroy", self._handle)
