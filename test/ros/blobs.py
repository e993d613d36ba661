"""A network small enough to be right by construction: it sees bright rectangles on a dark ground.

Run as a program it is the tracker node with this network, for tests across processes.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from qdtrack_model.config import OneShotConfig, QuasiDenseConfig, from_mapping
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Array, Detections
from qdtrack_model.tracking import QuasiDenseTracker

PROGRAM = (__file__,)  # what Python is to run for the tracker node with this network


class BlobRuntime:
    """A `Runtime` whose detections are the bright connected regions, and whose embedding is their colour."""

    name = "blobs"
    device = "cpu"
    on_gpu = takes_gpu_images = False
    config = OneShotConfig(input_size=(192, 320))

    memory = 0

    def __init__(self) -> None:
        self.closed = False

    def warm_up(self) -> None:
        self.infer(np.zeros((1, *self.config.input_size, 3), np.uint8))

    def infer(self, images: Array) -> list[Detections]:
        assert not self.closed
        return [self._blobs(image) for image in images]

    @staticmethod
    def _blobs(image: Array) -> Detections:
        # Padding is grey 114: only what is brighter counts.
        mask = (image.max(axis=2) > 140).astype(np.uint8)
        count, regions, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes, colours = [], []
        for region in range(1, count):
            x, y, w, h, area = stats[region]
            if area >= 20:
                boxes.append((x, y, x + w, y + h))
                colours.append(image[regions == region].mean(axis=0) / 255 - 0.4)
        if not boxes:
            return Detections.empty(3)
        return Detections(np.array(boxes), np.full(len(boxes), 0.9), np.zeros(len(boxes)), np.array(colours) * 20)

    def close(self) -> None:
        self.closed = True


def blob_pipeline(weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
    """What stands in for `Pipeline.load`; the name "broken" fails as a damaged file would."""
    if weights == "broken":
        raise ValueError("broken: not a weights file; expected safetensors")
    config = from_mapping(QuasiDenseConfig, {"memory_span": 1.0, "backdrop_span": 0.1, **tracker}, "tracker")
    return Pipeline(BlobRuntime(), QuasiDenseTracker(config))


def picture(*rectangles: tuple[int, int, int, int, tuple[int, int, int]]) -> Array:
    """A dark 640x360 image with rectangles given as x, y, width, height and BGR colour."""
    image = np.full((360, 640, 3), 20, np.uint8)
    for x, y, w, h, colour in rectangles:
        image[y : y + h, x : x + w] = colour
    return image


def jpeg_message(image: Array, header: Header) -> CompressedImage:
    """An image as a camera with a JPEG encoder publishes it."""
    return CompressedImage(
        header=header, format="jpeg", data=array.array("B", cv2.imencode(".jpg", image)[1].tobytes())
    )


if __name__ == "__main__":
    from qdtrack_ros.node import main

    sys.exit(main(pipeline_factory=blob_pipeline))
