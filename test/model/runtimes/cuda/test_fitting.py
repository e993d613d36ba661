"""Images fitted in by the GPU's own kernel, compiled for the processor: as OpenCV does it, to the bit."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from qdtrack_model.config import OneShotConfig
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.cuda import fitting, kernel
from qdtrack_model.runtimes.cuda.calls import CudaError
from qdtrack_model.runtimes.cuda.fitting import FittedOnGpu, GpuPreprocessor, preprocessor
from qdtrack_model.runtimes.interface import RuntimeUnavailable
from qdtrack_model.structures import Array

from .driver import Driver

pytest.importorskip("cuda.bindings", reason='pip install "qdtrack[tensorrt-rtx]"')
CONFIG = OneShotConfig(input_size=(96, 160))


def _code() -> str:
    try:
        kernel.compiled('extern "C" __global__ void none() {}', "none.cu", "8.9")
    except RuntimeUnavailable as error:
        return str(error)
    return "" if shutil.which("g++") else "needs g++"


needs_compilers = pytest.mark.skipif(bool(_code()), reason=_code())
# As it is, shrunk, halved once and more often (sides even and odd), enlarged, upright, slim.
SIZES = [
    (96, 160), (120, 200), (216, 384), (233, 401), (480, 640), (541, 963), (40, 50), (160, 96), (300, 7), (1, 900),
    (1, 1),
]  # fmt: skip


def noise(*size: int) -> Array:
    return np.random.default_rng(sum(size)).integers(0, 256, size, np.uint8)


@pytest.fixture(params=[False, True], ids=["own memory", "shared memory"])
def driver(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Driver:
    return Driver(monkeypatch, integrated=request.param)


@pytest.fixture
def fit(driver: Driver) -> Iterator[GpuPreprocessor]:
    made = GpuPreprocessor(CONFIG, "8.9")
    yield made
    made.close()
    assert not driver.left()


@needs_compilers
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_is_fitted_in_as_by_opencv(fit: GpuPreprocessor, size: tuple[int, int]) -> None:
    for image in (noise(*size, 3), noise(*size), noise(*size, 3)[::-1, ::-1]):
        (found, [letterbox]), (expected, [way_back]) = fit([image]), Preprocessor(CONFIG)([image])
        np.testing.assert_array_equal(found.pixels(), expected)
        assert letterbox == way_back


@needs_compilers
def test_images_of_several_cameras_go_together_and_replace_those_before(fit: GpuPreprocessor, driver: Driver) -> None:
    on_cpu = Preprocessor(CONFIG)
    before: list[tuple[FittedOnGpu, Array]] = []
    for sizes in ([(480, 640), (120, 200), (96, 160)], [(120, 200)], [(96, 160), (541, 963), (40, 50)], [(541, 963)]):
        images = [noise(*size, 3) for size in sizes]
        before = [*before[-1:], (fit(images)[0], on_cpu(images)[0].copy())]
        for found, expected in before:  # and those of the call before are there still
            np.testing.assert_array_equal(found.pixels(), expected)
    images, held = [noise(541, 963, 3), noise(480, 640, 3), noise(96, 160, 3)], []
    for _ in range(10):
        fit(images := images[::-1])
        held.append(set(driver.memory))
    assert held[4:] == held[4:5] * 6, "memory is made once"


@needs_compilers
def test_what_is_uploaded_is_the_image(fit: GpuPreprocessor, driver: Driver) -> None:
    image = noise(480, 640, 3)
    for _ in range(4):  # of either slot, and its padding
        fit([image])
    before = driver.copied
    fit([image])
    mixes = 16 * (320 + 240 + 160 + 120 + 128 + 96)  # halved twice
    assert driver.copied - before == (0 if driver.integrated else image.nbytes + mixes)


@needs_compilers
def test_images_that_the_network_never_took_make_room_for_the_next(fit: GpuPreprocessor) -> None:
    images = [noise(120, 200, 3) for _ in range(5)]
    for image in images:
        found, _ = fit([image])
    np.testing.assert_array_equal(found.pixels(), Preprocessor(CONFIG)(images[-1:])[0])


@needs_compilers
def test_what_is_no_image_is_refused_and_nothing_lost(fit: GpuPreprocessor) -> None:
    first, _ = fit([noise(96, 160, 3)])
    with pytest.raises(ValueError, match="drop the alpha channel"):
        fit([noise(96, 160, 4)])
    np.testing.assert_array_equal(first.pixels()[0], noise(96, 160, 3))


@needs_compilers
def test_memory_that_runs_out_is_one_clear_error_and_the_next_image_fits(driver: Driver, fit: GpuPreprocessor) -> None:
    fit([noise(96, 160, 3)])
    driver.room = 100_000
    for images, what in (([noise(480, 640, 3)], "of an image"), ([noise(96, 160, 3)] * 3, "for 3 images")):
        with pytest.raises(CudaError, match=rf"the GPU refuses \d+ bytes .*{what}: out of memory"):
            fit(images)
        for _ in range(2):  # either slot
            driver.room = 1 << 30
            found, _ = fit([noise(96, 160, 3)])
            driver.room = 100_000
            np.testing.assert_array_equal(found.pixels()[0], noise(96, 160, 3))


@needs_compilers
@pytest.mark.parametrize("count", range(1, 17))
def test_a_fault_while_it_is_made_leaves_nothing(driver: Driver, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Whichever allocation it is that fails, where one does."""
    malloc, calls = driver.cudaMalloc, [0]

    def sometimes(size: int) -> tuple[Any, ...]:
        calls[0] += 1
        return driver.full if calls[0] == count else malloc(size)

    for name in ("cudaMalloc", "cudaMallocHost"):
        monkeypatch.setattr(driver, name, sometimes)
    monkeypatch.setattr(driver, "cudaHostAlloc", lambda size, flags: sometimes(size))
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("Imagined", (8, 9), 13000, 20))
    made = preprocessor(CONFIG)
    made.close()
    assert not driver.left()


@needs_compilers
def test_a_fault_of_the_gpu_is_one_line_and_closing_still_closes(driver: Driver) -> None:
    fit = GpuPreprocessor(CONFIG, "8.9")
    fit([noise(96, 160, 3)])
    driver.break_down("cudaMemcpyAsync")
    for _ in range(2):
        with pytest.raises(CudaError, match=r"^the GPU refuses .*illegal memory access"):
            fit([noise(96, 160, 3)])
    fit.close()


@needs_compilers
def test_it_is_taken_where_it_does_as_opencv(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu, "find", lambda: None)
    assert isinstance(preprocessor(CONFIG), Preprocessor) and not driver.kernels
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("Imagined", (8, 9), 13000, 20))
    with caplog.at_level(logging.INFO):
        made = preprocessor(CONFIG)
        assert isinstance(made, GpuPreprocessor) and not caplog.text
        made.close()
        monkeypatch.setattr(fitting, "_PARTS", 1024)
        fitting._mixes.cache_clear()
        assert isinstance(preprocessor(CONFIG), Preprocessor)
    fitting._mixes.cache_clear()
    assert "by the processor, which takes it about a millisecond each: the GPU fits an image of" in caplog.text
    assert not driver.left()


@needs_compilers
@pytest.mark.parametrize("compute", ["7.5", "8.6", "8.7", "8.9", "9.0", "12.0"])
def test_the_kernel_is_compiled_for_each_gpu(compute: str) -> None:
    assert fitting._code(compute).startswith(b"\x7fELF")


@needs_compilers
def test_a_gpu_that_nvrtc_does_not_know_is_named() -> None:
    with pytest.raises(RuntimeUnavailable, match=r"cannot compile resize.cu for compute capability 99.9: NVRTC_ERROR_"):
        fitting._code("99.9")


def test_without_nvrtc_the_processor_does_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def absent(*_: object) -> None:
        raise RuntimeError("Failure finding libnvrtc.so")

    monkeypatch.setattr("cuda.bindings.nvrtc.nvrtcCreateProgram", absent)
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("Imagined", (8, 9), 13000, 20))
    fitting._code.cache_clear()
    with caplog.at_level(logging.INFO):
        assert isinstance(preprocessor(CONFIG), Preprocessor)
    assert "NVRTC, a library of CUDA, is not installed: pip install nvidia-cuda-nvrtc" in caplog.text
