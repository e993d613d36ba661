"""Large JPEGs are decoded as small as the network has them anyway, and their boxes are those of the whole image."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import BlobRuntime, jpeg_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes.cuda.jpeg import GpuPicture
from qdtrack_model.structures import Array
from qdtrack_model.tracking import QuasiDenseTracker
from qdtrack_ros.input.source_image import SourceImage, image_array
from qdtrack_ros.output.conversions import image_message

INPUT = BlobRuntime.config.input_size  # 192 x 320


def street(width: int, height: int) -> Array:
    image = np.full((height, width, 3), 20, np.uint8)
    image[height // 3 : height // 2, width // 4 : width // 3] = (40, 40, 250)
    image[height - height // 5 :, width - width // 5 :] = (40, 250, 40)  # to the last pixel
    return image


@pytest.mark.parametrize(
    ("size", "reduction"),
    [((640, 360), 1), ((704, 396), 1), ((720, 432), 2), ((1281, 721), 2), ((1920, 1081), 4), ((9001, 500), 8)],
)
def test_reduced_as_far_as_the_network_s_input_lets_it(size: tuple[int, int], reduction: int) -> None:
    image = street(*size)
    read = SourceImage.read(jpeg_message(image, Header()), INPUT)
    assert (read.reduction, read.size) == (reduction, size)
    assert read.pixels.shape == (-(-size[1] // reduction), -(-size[0] // reduction), 3)
    assert read.whole.shape == image.shape
    np.testing.assert_array_equal(read.whole, image_array(read.message))


@pytest.mark.parametrize("size", [(1280, 720), (1281, 721), (1920, 1080), (2047, 1531)])
def test_boxes_are_those_of_the_whole_image(size: tuple[int, int]) -> None:
    pipeline = Pipeline(BlobRuntime(), QuasiDenseTracker(QuasiDenseConfig()))
    read = SourceImage.read(jpeg_message(street(*size), Header()), INPUT)
    assert read.reduction > 1
    [found] = pipeline.detect([read.pixels])
    [expected] = pipeline.detect([read.whole])
    found = read.to_source(found, clip=True)
    pixel = size[0] / INPUT[1]  # the blobs have edges at whole pixels of the network's input, blurred ones at the next
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1.2 * pixel)
    assert len(found) == 2
    assert found.boxes[:, 2:].max(axis=0).tolist() == [*size]


def test_only_jpegs_are_reduced() -> None:
    image = street(1280, 720)
    png = array.array("B", cv2.imencode(".png", image)[1].tobytes())
    mosaic = array.array("B", cv2.imencode(".jpg", image[:, :, 0])[1].tobytes())
    for message in (
        image_message(image, Header()),
        CompressedImage(format="png", data=png),
        CompressedImage(format="bayer_rggb8; jpeg compressed bayer_rggb8", data=mosaic),
    ):
        read = SourceImage.read(message, INPUT)
        assert (read.reduction, read.size) == (1, (1280, 720))
        assert read.whole is read.pixels


def test_grey_jpegs_are_reduced_too() -> None:
    grey = street(1280, 720)[:, :, 1]
    read = SourceImage.read(jpeg_message(grey, Header()), INPUT)
    assert read.pixels.shape == (360, 640, 3)
    assert np.abs(read.pixels[:, :, 0].astype(int) - cv2.resize(grey, (640, 360))).mean() < 2


def test_a_colour_jpeg_is_decoded_by_the_gpu_where_it_can() -> None:
    picture = GpuPicture(4096, (721, 1281, 3), 3840, None)
    asked: list[bytes] = []

    def decode(content: bytes) -> GpuPicture | None:
        asked.append(content)
        return picture if len(asked) == 1 else None

    message = jpeg_message(street(1281, 721), Header())
    read = SourceImage.read(message, INPUT, decode)
    assert read.pixels is picture and (read.reduction, read.size) == (1, (1281, 721))
    np.testing.assert_array_equal(read.whole, image_array(message))  # for whoever draws on it
    assert asked == [message.data.tobytes()]
    again = SourceImage.read(message, INPUT, decode)  # now it cannot
    assert (again.reduction, again.size, len(asked)) == (2, (1281, 721), 2)
    for other in (image_message(street(640, 360), Header()), jpeg_message(street(640, 360)[:, :, 0], Header())):
        assert isinstance(SourceImage.read(other, INPUT, decode).pixels, np.ndarray) and len(asked) == 2
