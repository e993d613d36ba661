"""JPEGs decoded on the GPU go to the network without a way through the host; stand-ins for driver and decoder."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from qdtrack_model.config import OneShotConfig
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.runtimes.cuda.fitting import GpuPreprocessor
from qdtrack_model.runtimes.cuda.jpeg import GpuPicture
from qdtrack_model.structures import Array

from .codec import Codec
from .driver import Driver
from .test_fitting import needs_compilers

pytest.importorskip("cuda.bindings", reason='pip install "qdtrack[tensorrt-rtx]"')
pytestmark = needs_compilers
CONFIG = OneShotConfig(input_size=(96, 160))


def jpeg(height: int, width: int) -> bytes:
    noise = np.random.default_rng(height).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    image = cv2.resize(noise, (width, height))
    return bytes(cv2.imencode(".jpg", image)[1])


def pixels(content: bytes) -> Array:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(monkeypatch)


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> Codec:
    return Codec(monkeypatch, driver)


@pytest.fixture
def fit(codec: Codec, driver: Driver) -> Iterator[GpuPreprocessor]:
    made = GpuPreprocessor(CONFIG, "8.9")
    yield made
    made.close()
    gc.collect()
    assert not driver.left()


@pytest.mark.parametrize("padded", [True, False], ids=["padded rows", "dense rows"])
@pytest.mark.parametrize("size", [(480, 641), (97, 161), (96, 160), (50, 60)], ids=str)
def test_a_picture_on_the_gpu_is_fitted_in_as_by_opencv(
    fit: GpuPreprocessor, codec: Codec, driver: Driver, size: tuple[int, int], padded: bool
) -> None:
    codec.padded = padded
    content = jpeg(*size)
    picture = fit.decode(content)
    assert isinstance(picture, GpuPicture) and picture.shape == (*size, 3)
    fit([np.zeros((*size, 3), np.uint8)])  # another camera's, from the processor
    copied = driver.copied
    (found, [letterbox]), (expected, [way_back]) = fit([picture]), Preprocessor(CONFIG)([pixels(content)])
    assert driver.copied - copied < 96 * 160 * 3 + 30_000, "the pixels stay where they are"
    np.testing.assert_array_equal(found.pixels(), expected)
    assert letterbox == way_back


def test_a_picture_is_there_until_the_gpu_has_read_it(fit: GpuPreprocessor, driver: Driver) -> None:
    content = jpeg(200, 300)
    found, _ = fit([fit.decode(content)])  # type: ignore[list-item]
    gc.collect()  # nobody but the preprocessor has the picture now
    np.testing.assert_array_equal(found.pixels(), Preprocessor(CONFIG)([pixels(content)])[0])
    assert driver.kept == 1 << 28


def test_pictures_and_images_go_together(fit: GpuPreprocessor) -> None:
    content, image = jpeg(200, 300), pixels(jpeg(120, 500))
    picture = fit.decode(content)
    assert picture is not None
    found, _ = fit([image, picture, image[:, :, 0]])
    np.testing.assert_array_equal(found.pixels(), Preprocessor(CONFIG)([image, pixels(content), image[:, :, 0]])[0])


@pytest.mark.parametrize("answer", ["none", "raises"])
def test_what_nvjpeg_cannot_decode_is_left_to_others(fit: GpuPreprocessor, codec: Codec, answer: str) -> None:
    assert fit.decode(jpeg(96, 160)) is not None
    codec.answer = answer
    assert fit.decode(jpeg(96, 160)) is None
    codec.answer = "picture"
    assert fit.decode(jpeg(96, 160)) is not None


@pytest.mark.parametrize(
    ("answer", "wrong", "reason"),
    [
        ("broken", 0, "CUDA Runtime failure: '#35'"),
        ("old", 0, "__init__(): incompatible constructor arguments"),
        ("none", 0, "nvJPEG does not decode street.jpg, a picture of ours"),
        ("picture", 9, "nvJPEG decodes otherwise than OpenCV, by "),
    ],
)
def test_a_decoder_that_does_otherwise_is_not_taken(
    driver: Driver, codec: Codec, caplog: pytest.LogCaptureFixture, answer: str, wrong: int, reason: str
) -> None:
    codec.answer, codec.wrong = answer, wrong
    with caplog.at_level(logging.INFO):
        fit = GpuPreprocessor(CONFIG, "8.9")
        assert fit.decodes  # for all that is known
        assert [fit.decode(jpeg(96, 160)) for _ in range(3)] == [None] * 3 and not fit.decodes
    told = f"JPEGs are decoded by the processor, which takes it milliseconds each: {reason}"
    assert caplog.text.count(told) == 1
    found, _ = fit([pixels(jpeg(96, 160))])
    np.testing.assert_array_equal(found.pixels()[0], pixels(jpeg(96, 160)))
    fit.close()
    gc.collect()
    assert not driver.left()


def test_without_nvimagecodec_the_log_says_so(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)
    with caplog.at_level(logging.INFO):
        fit = GpuPreprocessor(CONFIG, "8.9")
        assert not caplog.text and fit.decode(jpeg(96, 160)) is None
    assert "nvImageCodec is not installed" in caplog.text
    fit.close()
