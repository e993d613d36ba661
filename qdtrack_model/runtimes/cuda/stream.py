"""The order of work on a GPU: streams, work that is recorded, and moments in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from qdtrack_model.runtimes.cuda.calls import CudaError, call, free
from qdtrack_model.runtimes.cuda.memory import Buffer

PIECEWISE = "frames are enqueued piece by piece, which is slower: no CUDA graph, "

log = logging.getLogger(__name__)


def copy(stream: int, target: int, source: int, size: int) -> None:
    """Enqueue the copy of ``size`` bytes from one address on the GPU to another, in a stream by its handle."""
    from cuda.bindings import runtime

    kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
    call("a copy on it", "cudaMemcpyAsync", target, source, size, kind, stream)


class Event:
    """A moment in a stream that another one can wait for."""

    def __init__(self) -> None:
        from cuda.bindings import runtime

        self._handle = call("an event", "cudaEventCreateWithFlags", runtime.cudaEventDisableTiming)

    def record(self, stream: Stream) -> None:
        """Make it the moment when all that was enqueued is done."""
        call("to mark a moment", "cudaEventRecord", self._handle, stream.handle)

    def hold_up(self, stream: int) -> None:
        """Have what is enqueued from now on in a stream, by its handle, wait for it."""
        call("to wait for another stream", "cudaStreamWaitEvent", stream, self._handle, 0)

    def wait(self) -> None:
        """Wait for it; at once where it was never recorded."""
        call("to finish what it does", "cudaEventSynchronize", self._handle)

    def close(self) -> None:
        """Free it."""
        free("cudaEventDestroy", self._handle)


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

    def upload(self, buffer: Buffer, size: int | None = None) -> None:
        """Enqueue the copy of the first ``size`` bytes, or all, to the GPU, where that has a memory of its own."""
        if buffer.shared:
            return
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        host = buffer.array.ctypes.data
        call("a copy to it", "cudaMemcpyAsync", buffer.device, host, size or buffer.size, kind, self._handle)

    def download(self, buffer: Buffer) -> None:
        """Enqueue the copy from the GPU to host memory, where that is another one."""
        if buffer.shared:
            return
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        host = buffer.array.ctypes.data
        call("a copy from it", "cudaMemcpyAsync", host, buffer.device, buffer.size, kind, self._handle)

    def copy(self, target: int, source: int, size: int) -> None:
        """Enqueue the copy of so many bytes from one address on the GPU to another."""
        copy(self.handle, target, source, size)

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


def check() -> None:
    """Use the GPU once, so that what is wrong with it is known before an engine is built for minutes.

    Raises:
        CudaError: it cannot be used.
    """
    Stream().close()
