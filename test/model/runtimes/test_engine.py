"""How an engine is fed and freed, with stand-ins for the driver and for TensorRT: neither can be had without a GPU.

The stand-in driver has real memory, so that a copy in the wrong direction, of the wrong size or too late shows; it
keeps count of what is not freed. The engine finds one object where the first pixel says.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.runtimes import Options, gpu
from qdtrack_model.runtimes.cuda import CudaError, call, check
from qdtrack_model.runtimes.engine import EngineRuntime
from qdtrack_model.runtimes.engine_builder import EngineError

cuda_bindings = pytest.importorskip("cuda.bindings", reason='pip install "qdtrack[tensorrt-rtx]"')

CONFIG = OneShotConfig(input_size=(64, 96), max_detections=3, embedding_size=4)
SHAPES = {
    "images": ((2, 64, 96, 3), np.uint8), "boxes": ((2, 3, 4), np.float32), "scores": ((2, 3), np.float32),
    "labels": ((2, 3), np.int64), "embeddings": ((2, 3, 4), np.float32),
}  # fmt: skip
CHECKPOINT = Checkpoint(Path("small.safetensors"), CONFIG, QuasiDenseConfig(), {})


class Driver:
    """The functions of ``cuda.bindings.runtime`` that are used, on host memory."""

    def __init__(self, room: int = 1 << 30, capture: bool = True) -> None:
        from cuda.bindings import runtime

        self.cudaError_t, self.cudaMemcpyKind = runtime.cudaError_t, runtime.cudaMemcpyKind
        self.cudaStreamCaptureMode, self.cudaStreamNonBlocking = runtime.cudaStreamCaptureMode, 1
        self.cudaGetErrorString = runtime.cudaGetErrorString
        self.ok, self.full = (self.cudaError_t.cudaSuccess,), (self.cudaError_t.cudaErrorMemoryAllocation, None)
        self.room, self.capture = room, capture
        self.memory: dict[int, Any] = {}
        self.objects: set[str] = set()
        self.recording: list[Callable[[], object]] | None = None
        self.pending: list[Callable[[], object]] = []
        self.launches = 0

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if size > self.room:
            return self.full
        block = (ctypes.c_uint8 * size)()
        self.memory[ctypes.addressof(block)] = block
        return (*self.ok, ctypes.addressof(block))

    cudaMallocHost = cudaMalloc

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        del self.memory[address]
        return self.ok

    cudaFreeHost = cudaFree

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        self.objects.add("stream")
        return (*self.ok, 7)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        self.objects.remove("stream")
        return self.ok

    def enqueue(self, work: Callable[[], object]) -> None:
        (self.pending if self.recording is None else self.recording).append(work)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: int) -> tuple[Any, ...]:
        assert {target, source} <= self.memory.keys() and stream == 7
        self.enqueue(lambda: ctypes.memmove(target, source, size))
        return self.ok

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        for work in self.pending:
            work()
        self.pending = []
        return self.ok

    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> tuple[Any, ...]:
        self.recording = []
        return self.ok

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        graph, self.recording = self.recording, None
        if not self.capture:
            return (self.cudaError_t.cudaErrorStreamCaptureInvalidated, None)
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
        self.pending += graph
        return self.ok

    def cudaGetLastError(self) -> tuple[Any, ...]:
        return self.ok

    def break_down(self, at: str) -> None:
        """From the next call of ``at`` on every call fails, as it is after an illegal access to memory."""

        def fail(*_: Any) -> tuple[Any, ...]:
            for name in filter(lambda name: name.startswith("cuda"), vars(Driver)):
                setattr(self, name, fail)
            return (self.cudaError_t.cudaErrorIllegalAddress, None)

        setattr(self, at, fail)


class Context:
    def __init__(self, driver: Driver) -> None:
        self.driver, self.addresses = driver, {}  # type: tuple[Driver, dict[str, int]]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def array(self, name: str) -> np.ndarray[Any, Any]:
        shape, kind = SHAPES[name]
        return np.frombuffer(memoryview(self.driver.memory[self.addresses[name]]), kind).reshape(shape)

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        self.driver.enqueue(self.run)
        return True

    def run(self) -> None:
        for name in ("scores", "labels", "embeddings"):
            self.array(name)[:] = 0
        corner = self.array("images")[:, 0, 0].astype(np.float32)
        self.array("boxes")[:] = np.concatenate([corner[:, :2], corner[:, :2] + 10], axis=1)[:, None]
        self.array("scores")[:, 0] = 0.9


class Kernels:
    """The cache of finished kernels that TensorRT for RTX has."""

    def __init__(self) -> None:
        self.read: list[bytes] = []

    def deserialize(self, content: bytes) -> bool:
        self.read.append(content)
        return True

    def serialize(self) -> bytes:
        return b"finished"


def package(
    driver: Driver, start: bool = True, engine: bool = True, context: bool = True, shape: Any = None,
    kernels: Kernels | None = None,
) -> Any:  # fmt: skip
    """What is used of ``tensorrt``; ``start``, ``engine`` and ``context`` say whether what they stand for can be made.

    With ``kernels`` it is ``tensorrt_rtx``.
    """

    class Logger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger
            if not start:
                logger.log(0, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if not engine:
                self.logger.log(1, "Serialization assertion failed. Version tag does not match.\nmore")
                return None
            rtx: dict[str, Any] = {}
            if kernels is not None:
                settings = SimpleNamespace(create_runtime_cache=lambda: kernels, set_runtime_cache=lambda used: True)
                rtx = {"create_runtime_config": lambda: settings}
            return SimpleNamespace(
                **rtx,
                get_tensor_shape=lambda name: (shape or SHAPES[name][0]) if name == "images" else SHAPES[name][0],
                get_tensor_dtype=lambda name: SHAPES[name][1],
                create_execution_context=self.context,
                device_memory_size_v2=1000,
            )

        def context(self, settings: Any = None) -> Any:
            assert (settings is None) == (kernels is None)
            if not context:
                self.logger.log(1, "CUDA failure 2: out of memory")
            return Context(driver) if context else None

    rtx = {} if kernels is None else {"IRuntimeCache": Kernels}
    return SimpleNamespace(
        __name__="tensorrt", __version__="10.16", ILogger=Logger, Runtime=Runtime, nptype=lambda kind: kind, **rtx
    )


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "small.engine"
    path.write_bytes(b"plan")
    return path


def install(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> Driver:
    monkeypatch.setattr("cuda.bindings.runtime", driver)
    return driver


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return install(monkeypatch, Driver())


def images(*corners: tuple[int, int]) -> np.ndarray[Any, Any]:
    batch = np.zeros((len(corners), 64, 96, 3), np.uint8)
    batch[:, 0, 0, :2] = corners
    return batch


@pytest.mark.parametrize("capture", [True, False], ids=["recorded", "piece by piece"])
def test_each_image_gets_its_own_detections(
    monkeypatch: pytest.MonkeyPatch, plan: Path, capture: bool, caplog: pytest.LogCaptureFixture
) -> None:
    driver = install(monkeypatch, Driver(capture=capture))
    runtime = EngineRuntime(package(driver), plan, CHECKPOINT, Options("tensorrt", "fp16", batch=2))
    runtime.warm_up()
    before = driver.launches
    found = runtime.infer(images((1, 2), (3, 4), (5, 6)))
    assert [one.boxes.tolist() for one in found] == [[[1, 2, 11, 12]], [[3, 4, 13, 14]], [[5, 6, 15, 16]]]
    assert [one.scores.tolist() for one in found] == [[pytest.approx(0.9)]] * 3
    assert driver.launches - before == (2 if capture else 0)
    assert ("no CUDA graph" in caplog.text) == (not capture)
    buffers = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in SHAPES.values())
    assert runtime.memory == 4 + 1000 + buffers
    assert (runtime.name, runtime.device.endswith("fp16")) == ("tensorrt", True)
    with pytest.raises(ValueError, match=r"expected uint8 \(batch, 64, 96, 3\)"):
        runtime.infer(np.zeros((1, 64, 95, 3), np.uint8))
    runtime.close()
    assert not driver.memory and not driver.objects


@pytest.mark.parametrize(
    ("faults", "room", "message"),
    [
        ({"start": False}, 1 << 30, "tensorrt 10.16 cannot start: CUDA initialization failure with error: 35"),
        (
            {"engine": False},
            1 << 30,
            "tensorrt 10.16 cannot load this engine: .*Version tag does not match.; delete it",
        ),
        ({"shape": (1, 64, 96, 3)}, 1 << 30, r"takes images \(1, 64, 96, 3\), expected \(2, 64, 96, 3\)"),
        ({"context": False}, 1 << 30, "no room for it or cannot run it: .*out of memory: close other programs"),
        ({}, 1000, "the GPU refuses 36864 bytes for images: out of memory .*; close other programs .*smaller batch"),
    ],
    ids=["old driver", "other version", "other size", "no room for the context", "no room for buffers"],
)
def test_what_cannot_be_loaded_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, plan: Path, faults: dict[str, Any], room: int, message: str
) -> None:
    driver = install(monkeypatch, Driver(room))
    with pytest.raises(EngineError, match=message) as caught:
        EngineRuntime(package(driver, **faults), plan, CHECKPOINT, Options("tensorrt", "fp16", batch=2))
    assert "\n" not in str(caught.value) and (str(plan) in str(caught.value)) == ("start" not in faults)
    assert not driver.memory and not driver.objects


def test_kernels_finished_at_the_first_start_are_kept(driver: Driver, plan: Path) -> None:
    for expected in ([], [b"finished"]):
        kernels = Kernels()
        runtime = EngineRuntime(package(driver, kernels=kernels), plan, CHECKPOINT, Options("tensorrt_rtx", batch=2))
        runtime.close()
        assert kernels.read == expected
    assert plan.with_suffix(".kernels").read_bytes() == b"finished"


def test_a_fault_while_running_is_one_line_and_closing_still_closes(driver: Driver, plan: Path) -> None:
    runtime = EngineRuntime(package(driver), plan, CHECKPOINT, Options("tensorrt", "fp16", batch=2))
    driver.break_down("cudaStreamSynchronize")
    for _ in range(2):
        with pytest.raises(EngineError, match=r"small\.engine: the GPU refuses .*: .*illegal memory access"):
            runtime.infer(images((1, 2)))
    runtime.close()


def test_a_fault_while_loading_is_told_rather_than_what_fails_after_it(driver: Driver, plan: Path) -> None:
    driver.break_down("cudaStreamSynchronize")
    with pytest.raises(EngineError, match=r"small\.engine: the GPU refuses to finish a frame: .*illegal memory access"):
        EngineRuntime(package(driver), plan, CHECKPOINT, Options("tensorrt", "fp16", batch=2))


def test_a_recording_that_cannot_begin_is_done_without(
    driver: Driver, plan: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(driver, "cudaStreamBeginCapture", lambda *_: (driver.cudaError_t.cudaErrorNotSupported,))
    monkeypatch.setattr(driver, "cudaStreamEndCapture", lambda *_: (driver.cudaError_t.cudaErrorIllegalState, None))
    runtime = EngineRuntime(package(driver), plan, CHECKPOINT, Options("tensorrt", "fp16", batch=2))
    assert "no CUDA graph, the GPU refuses to record a frame: operation not supported" in caplog.text
    assert runtime.infer(images((1, 2)))[0].boxes.tolist() == [[1, 2, 11, 12]]
    runtime.close()
    assert not driver.memory and not driver.objects


def test_a_network_that_cannot_be_recorded_is_told(
    driver: Driver, plan: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Context, "is_stream_capturable", lambda self, stream: stream != 7, raising=False)
    runtime = EngineRuntime(package(driver), plan, CHECKPOINT, Options("tensorrt", "fp16", batch=2))
    assert "no CUDA graph, tensorrt cannot run this network while recording" in caplog.text
    assert runtime.infer(images((1, 2)))[0].boxes.tolist() == [[1, 2, 11, 12]]
    assert driver.launches == 0


def test_checking_leaves_nothing(driver: Driver) -> None:
    check()
    assert not driver.objects
    driver.break_down("cudaStreamCreateWithFlags")
    with pytest.raises(CudaError, match=r"the GPU refuses a stream: .*illegal memory access"):
        check()


def test_every_call_takes_what_it_is_given() -> None:
    """By the real bindings: a wrong type or number of arguments raises, before any driver is asked."""
    from cuda.bindings import runtime

    if gpu.find() is not None:
        pytest.skip("made-up addresses would do harm on a GPU")
    stream, graph, instance = runtime.cudaStream_t(0), runtime.cudaGraph_t(0), runtime.cudaGraphExec_t(0)
    kind, mode = runtime.cudaMemcpyKind, runtime.cudaStreamCaptureMode
    for arguments in (
        ("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking), ("cudaStreamDestroy", stream),
        ("cudaMalloc", 100), ("cudaFree", 100), ("cudaMallocHost", 100), ("cudaFreeHost", 100),
        ("cudaMemcpyAsync", 100, 200, 1, kind.cudaMemcpyHostToDevice, stream), ("cudaStreamSynchronize", stream),
        ("cudaStreamBeginCapture", stream, mode.cudaStreamCaptureModeThreadLocal), ("cudaStreamEndCapture", stream),
        ("cudaGraphInstantiate", graph, 0), ("cudaGraphDestroy", graph), ("cudaGraphLaunch", instance, stream),
        ("cudaGraphExecDestroy", instance),
    ):  # fmt: skip
        with pytest.raises(CudaError, match=f"the GPU refuses this: .*{arguments[0]}"):
            call("this", *arguments)
