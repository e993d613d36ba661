"""The network of `blobs` with faults that its images or the name of its weights ask for.

Run as a program it is the tracker node with this network, for tests across processes. A dark block in the corner of an
image is the order, by its shade of red; the network sees it as it was sent.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from blobs import BlobRuntime, blob_pipeline, picture

from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Array, Detections

PROGRAM = (__file__,)  # what Python is to run for the tracker node with this network
LOADING = 600.0  # seconds that the weights "slow" take
RAISE, STICK, BREAK, HANG, END = 40, 60, 80, 100, 120  # shades of red, too dark to be an object
_BROKEN = False  # whether even a network that is loaded anew fails


def order(shade: int, image: Array) -> Array:
    """The image with an order in its corner."""
    ordered = image.copy()
    ordered[:40, :40] = (0, 0, shade)
    return ordered


class FaultyRuntime(BlobRuntime):
    """RAISE fails once, STICK until it is loaded anew, BREAK then, too; HANG never answers, END ends the thread."""

    on_gpu = True  # the next images are in hand when one is lost

    def __init__(self) -> None:
        super().__init__()
        self._stuck = False

    def infer(self, images: Array) -> list[Detections]:
        global _BROKEN
        blue, _, red = (int(value) for value in images[0, 8, 8])
        asked = red if blue == 0 else 0  # what is not ordered is grey
        _BROKEN |= asked == BREAK
        self._stuck |= asked == STICK
        if _BROKEN or self._stuck or asked == RAISE:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if asked == HANG:
            time.sleep(3600)
        if asked == END:
            raise SystemExit
        return super().infer(images)


def faulty_pipeline(weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
    """As `blob_pipeline`; the weights "slow" take minutes, in which nothing can interrupt them."""
    if weights == "slow":
        logging.getLogger("qdtrack_model.faulty").info("building engine: 40 %")
        time.sleep(LOADING)
    pipeline = blob_pipeline(weights, options, tracker)
    return Pipeline(FaultyRuntime(), pipeline.tracker)


def walk(number: int) -> Array:
    """A rectangle that moves 4 px right an image."""
    return picture((100 + 4 * (number % 100), 100, 40, 80, (40, 40, 250)))


if __name__ == "__main__":
    from qdtrack_ros.node import main

    sys.exit(main(pipeline_factory=faulty_pipeline))
