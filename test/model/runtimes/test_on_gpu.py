"""What runs on a GPU finds what ONNX Runtime finds on the CPU; skipped without a GPU or where a runtime is missing."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.runtimes import Options, gpu
from qdtrack_model.runtimes.cuda.fitting import preprocessor
from qdtrack_model.runtimes.cuda.memory import Buffer
from qdtrack_model.runtimes.cuda.stream import Stream
from qdtrack_model.structures import Detections
from qdtrack_model.synthetic import Scene, SceneConfig

from .comparison import assert_same

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(gpu.find() is None, reason="no NVIDIA GPU here")]

CONFIDENT = 0.3  # the score of detections that must be found


def confident(found: Detections) -> Detections:
    rows = found.scores > CONFIDENT
    return Detections(found.boxes[rows], found.scores[rows], found.labels[rows], found.embeddings[rows])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "share", "pixels", "tolerance"), [("fp32", 1.0, 0.05, 1e-3), ("fp16", 0.99, 2.0, 0.05)]
)
@pytest.mark.parametrize("name", ["street", "street_qdtrack"])
@pytest.mark.parametrize("runtime", runtimes.ON_GPU)
def test_a_gpu_finds_the_same(
    runtime: str, name: str, precision: str, share: float, pixels: float, tolerance: float,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if (missing := runtimes.module_of(runtime).missing()) is not None:
        pytest.skip(missing)
    checkpoint, scene = checkpoints.load(name), Scene(SceneConfig(seed=9))
    images = Preprocessor(checkpoint.config)([scene.frame(index).image for index in (80, 120, 160)])[0]
    expected = runtimes.load(checkpoint, Options("onnxruntime")).infer(images)
    with caplog.at_level(logging.WARNING):
        loaded = runtimes.load(checkpoint, Options(runtime, precision, batch=2))  # the last part is filled up
    loaded.warm_up()
    found = loaded.infer(images)
    loaded.close()
    assert "no CUDA graph" not in caplog.text
    for one, other in zip(found, expected, strict=True):
        assert_same(confident(one), confident(other), share, pixels, tolerance, 10 * tolerance)


@pytest.mark.parametrize("runtime", runtimes.ON_GPU)
def test_images_fitted_in_there_give_the_same(runtime: str) -> None:
    if (missing := runtimes.module_of(runtime).missing()) is not None:
        pytest.skip(missing)
    checkpoint, scene = checkpoints.load("street"), Scene(SceneConfig(seed=9))
    fit = preprocessor(checkpoint.config)
    if isinstance(fit, Preprocessor):
        pytest.skip("the GPU cannot fit images in: NVRTC or cuda-bindings are missing")
    images = [scene.frame(80).image, scene.frame(120).image[:, :1001], scene.frame(160).image[::2]]
    expected, fitted = Preprocessor(checkpoint.config)(images)[0], fit(images)[0]
    assert np.abs(fitted.pixels().astype(int) - expected).max() <= 1
    loaded = runtimes.load(checkpoint, Options(runtime, "fp32", batch=2))
    for one, other in zip(loaded.infer(fitted), loaded.infer(expected), strict=True):
        assert_same(confident(one), confident(other), 1.0, 0.05, 1e-3, 1e-2)
    loaded.close()
    fit.close()


def test_copies_wait_for_each_other_and_can_be_recorded() -> None:
    pytest.importorskip("cuda.bindings", reason='pip install "qdtrack[tensorrt]"')
    stream, buffer = Stream(), Buffer("a test", (1000,), np.dtype(np.float32))

    def there_and_back() -> None:
        stream.upload(buffer)
        stream.download(buffer)

    there_and_back()
    stream.synchronize()
    recording = stream.record(there_and_back)
    assert recording is not None
    buffer.array[:] = np.arange(1000)
    stream.upload(buffer)
    stream.synchronize()
    buffer.array[:] = 0
    stream.download(buffer)
    stream.synchronize()
    assert buffer.array.tolist() == list(range(1000))
    recording.replay()
    stream.synchronize()
    assert buffer.array.tolist() == list(range(1000))
    for made in (recording, buffer, stream):
        made.close()
