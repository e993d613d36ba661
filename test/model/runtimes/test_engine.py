"""How an engine is fed and freed, with stand-ins for the driver and for TensorRT: neither can be had without a GPU.

The engine finds one object where the first pixel says.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options, gpu
from qdtrack_model.runtimes.cuda.calls import CudaError
from qdtrack_model.runtimes.cuda.fitting import FittedOnGpu
from qdtrack_model.runtimes.cuda.stream import check
from qdtrack_model.runtimes.engine import EngineRuntime
from qdtrack_model.runtimes.engine_builder import EngineError
from qdtrack_model.tracking import QuasiDenseTracker

from .cuda.driver import Driver

cuda_bindings = pytest.importorskip("cuda.bindings", reason='pip install "qdtrack[tensorrt-rtx]"')

CONFIG = OneShotConfig(input_size=(64, 96), max_detections=3, embedding_size=4)
SHAPES = {
    "images": ((2, 64, 96, 3), np.uint8), "boxes": ((2, 3, 4), np.float32), "scores": ((2, 3), np.float32),
    "labels": ((2, 3), np.int64), "embeddings": ((2, 3, 4), np.float32),
}  # fmt: skip
CHECKPOINT = Checkpoint(Path("small.safetensors"), CONFIG, QuasiDenseConfig(), {})


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
        self.driver.enqueue(stream, self.run)
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


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(monkeypatch)


def images(*corners: tuple[int, int]) -> np.ndarray[Any, Any]:
    batch = np.zeros((len(corners), 64, 96, 3), np.uint8)
    batch[:, 0, 0, :2] = corners
    return batch


@pytest.mark.parametrize("capture", [True, False], ids=["recorded", "piece by piece"])
def test_each_image_gets_its_own_detections(
    monkeypatch: pytest.MonkeyPatch, plan: Path, capture: bool, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver(monkeypatch, capture=capture)
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
    driver = Driver(monkeypatch, room)
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
    monkeypatch.setattr(Context, "is_stream_capturable", lambda self, stream: False, raising=False)
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


def test_images_fitted_in_on_the_gpu_never_leave_it(
    driver: Driver, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("Imagined", (8, 9), 13000, 20))
    runtime = EngineRuntime(package(driver), plan, CHECKPOINT, Options("tensorrt", "fp16", batch=2))
    pipeline = Pipeline(runtime, QuasiDenseTracker(QuasiDenseConfig()))
    if not driver.kernels:
        pytest.skip("needs NVRTC and g++")
    ahead = pipeline.fit([*images((1, 2), (3, 4), (5, 6))])
    assert isinstance(ahead.batch, FittedOnGpu)
    for corner in ((7, 8), (9, 10), (11, 12)):
        now, ahead = ahead, pipeline.fit([*images(corner)])  # while the one before is to be looked at
        expected = now.batch.pixels()[:, 0, 0, :2]
        copied = driver.copied
        found = pipeline.infer(now)
        # To the network's input, and the results back: no image is uploaded again.
        results = sum(buffer.size for name, buffer in runtime._buffers.items() if name != "images")
        assert driver.copied - copied == len(found) * 64 * 96 * 3 + (0 if runtime._recording else results)
        for one, (x, y) in zip(found, expected.tolist(), strict=True):
            assert one.boxes.tolist() == [[x, y, x + 10, y + 10]]
    pipeline.close()
    assert not driver.left()
