"""Which cuda-bindings suit which driver. What they are asked for is in test_fitting.py and test_engine.py."""

from __future__ import annotations

import importlib.metadata

import pytest

from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.cuda import calls
from qdtrack_model.runtimes.cuda.kernel import ADDRESS, NUMBER
from qdtrack_model.runtimes.interface import release


@pytest.mark.parametrize(
    ("driver", "installed", "told"),
    [
        (13000, "13.5.0", None),
        (13000, "12.9.4", None),  # drivers serve what was made for older ones
        (12060, "12.9.4", None),
        (12060, "13.5.0", "cuda-bindings 13.5.0 needs a newer driver than the one here, of CUDA 12.6: pip install"),
        (12060, None, 'cuda-bindings is not installed: pip install "cuda-bindings>=12.9.1,<13"'),
        (13000, None, 'cuda-bindings is not installed: pip install "cuda-bindings>=13,<14"'),
    ],
)
def test_bindings_are_of_the_drivers_cuda_or_older(
    monkeypatch: pytest.MonkeyPatch, driver: int, installed: str | None, told: str | None
) -> None:
    def version(name: str) -> str:
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
    missing = calls.missing(driver)
    assert missing is None if told is None else missing is not None and missing.startswith(told)


@pytest.mark.parametrize(
    ("version", "expected"), [("10.3.0", (10, 3)), ("10.16", (10, 16)), ("2.13.0+cpu", (2, 13)), ("8.6.1.6", (8, 6))]
)
def test_versions_are_compared_as_numbers(version: str, expected: tuple[int, int]) -> None:
    assert release(version) == expected
    with pytest.raises(ValueError, match="got 'unknown', expected numbers such as"):
        release("unknown")


def test_every_call_takes_what_it_is_given() -> None:
    """By the real bindings: a wrong type or number of arguments raises, before any driver is asked."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason='pip install "qdtrack[tensorrt-rtx]"')
    if gpu.find() is not None:
        pytest.skip("made-up addresses would do harm on a GPU")
    stream, graph, instance = runtime.cudaStream_t(0), runtime.cudaGraph_t(0), runtime.cudaGraphExec_t(0)
    threshold, driver = (
        runtime.cudaMemPoolAttr.cudaMemPoolAttrReleaseThreshold,
        pytest.importorskip("cuda.bindings.driver"),
    )
    event, integrated = runtime.cudaEvent_t(0), runtime.cudaDeviceAttr.cudaDevAttrIntegrated
    kind, mode = runtime.cudaMemcpyKind, runtime.cudaStreamCaptureMode
    for arguments in (
        ("cudaSetDevice", 0), ("cudaDeviceGetDefaultMemPool", 0),
        ("cudaMemPoolSetAttribute", runtime.cudaMemPool_t(0), threshold, driver.cuuint64_t(1)),
        ("cudaDeviceGetAttribute", integrated, 0),
        ("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking), ("cudaStreamDestroy", stream),
        ("cudaMalloc", 100), ("cudaFree", 100), ("cudaMallocHost", 100), ("cudaFreeHost", 100),
        ("cudaHostAlloc", 100, runtime.cudaHostAllocMapped), ("cudaHostGetDevicePointer", 100, 0),
        ("cudaMemcpyAsync", 100, 200, 1, kind.cudaMemcpyHostToDevice, stream), ("cudaStreamSynchronize", stream),
        ("cudaMemcpyAsync", 100, 200, 1, kind.cudaMemcpyDeviceToDevice, 7),
        ("cudaEventCreateWithFlags", runtime.cudaEventDisableTiming), ("cudaEventRecord", event, 7),
        ("cudaStreamWaitEvent", 7, event, 0), ("cudaEventSynchronize", event), ("cudaEventDestroy", event),
        ("cudaStreamBeginCapture", stream, mode.cudaStreamCaptureModeThreadLocal), ("cudaStreamEndCapture", stream),
        ("cudaGraphInstantiate", graph, 0), ("cudaGraphDestroy", graph), ("cudaGraphLaunch", instance, stream),
        ("cudaGraphExecDestroy", instance),
    ):  # fmt: skip
        with pytest.raises(calls.CudaError, match=f"the GPU refuses this: .*{arguments[0]}"):
            calls.call("this", *arguments)


def test_every_call_of_a_kernel_takes_what_it_is_given() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason='pip install "qdtrack[tensorrt-rtx]"')
    if gpu.find() is not None:
        pytest.skip("a made-up kernel would do harm on a GPU")
    module, function = driver.CUmodule(0), driver.CUfunction(0)
    values, kinds = (*[256] * 4, *[3] * 6), (*[ADDRESS] * 4, *[NUMBER] * 6)
    for name, *arguments in (
        ("cuModuleLoadData", b"\x7fELF"), ("cuModuleGetFunction", module, b"resize"), ("cuModuleUnload", module),
        ("cuLaunchKernel", function, 2, 3, 1, 32, 8, 1, 0, 7, (values, kinds), 0),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="NVIDIA driver library"):
            getattr(driver, name)(*arguments)
