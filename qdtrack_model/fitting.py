"""Fitting images into the input of a network: halved while that loses nothing, scaled, padded; and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from qdtrack_model.boxes import box_area, clip_boxes
from qdtrack_model.config import ModelConfig
from qdtrack_model.structures import Array, Detections


def check_image(image: Any) -> None:
    """Raise ValueError unless ``image`` is uint8, (H, W, 3) or (H, W), and not empty."""
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    expected = "expected uint8 of shape (height, width, 3) in BGR order, or (height, width) grey"
    if shape is None or dtype is None:
        raise ValueError(f"image: got {type(image).__name__}, {expected}")
    if dtype != np.uint8:
        raise ValueError(f"image: got dtype {dtype} with shape {shape}, {expected}")
    if len(shape) == 3 and shape[2] == 4:
        raise ValueError(f"image: got shape {shape} with 4 channels, {expected}; drop the alpha channel")
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        raise ValueError(f"image: got shape {shape}, {expected}")
    if 0 in shape:
        raise ValueError(f"image: got shape {shape}, which holds no pixels, {expected}")


@dataclass(frozen=True)
class Letterbox:
    """How one image was fitted in: source pixel edges times ``scale`` (x, y) are network-input pixel edges.

    ``clip`` says whether boxes end at the border of the image.
    """

    scale: tuple[float, float]
    source_size: tuple[int, int]  # width, height
    clip: bool

    def to_source(self, detections: Detections) -> Detections:
        """The detections in source pixels; those wholly outside the image are dropped."""
        boxes = detections.boxes / np.array([*self.scale, *self.scale], np.float32)
        clipped = clip_boxes(boxes, self.source_size)
        boxes = clipped if self.clip else boxes
        inside = box_area(clipped) > 0
        if not inside.all():
            detections, boxes = detections[inside], boxes[inside]
        return Detections(boxes, detections.scores, detections.labels, detections.embeddings)


def reduction_of(size: tuple[int, int], input_size: tuple[int, int]) -> int:
    """By how much (1, 2, 4, ...) an image is reduced before it is fitted in.

    Linear interpolation skips pixels when it shrinks to well below half. Halving first skips none, costs a tenth of
    averaging over areas of any size, and can be done by the decoder of a JPEG.

    Args:
        size: (width, height) of the image.
        input_size: (height, width) of the network's input.
    """
    scale, reduction = min(input_size[0] / size[1], input_size[1] / size[0]), 1
    while scale * reduction < 0.45:
        reduction *= 2
    return reduction


def plan(size: tuple[int, int], config: ModelConfig) -> tuple[list[tuple[int, int]], Letterbox]:
    """How images of ``size`` (width, height) are fitted into the input of a network.

    Returns:
        Sizes (width, height) that they are resized to, one after the other, of which the last is what they fill of the
        input; and the way back.
    """
    width, height = size
    scale = min(config.input_size[0] / height, config.input_size[1] / width)
    # Never below one pixel: an image 4000 wide and 1 high is odd but valid.
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    sizes, half = [], size
    for _ in range(reduction_of(size, config.input_size).bit_length() - 1):
        half = ((half[0] + 1) // 2, (half[1] + 1) // 2)
        sizes.append(half)
    # The sides were rounded to whole pixels, so that the exact scale differs a little between the axes.
    letterbox = Letterbox((fitted[0] / width, fitted[1] / height), size, config.clip_boxes)
    return [*sizes, fitted], letterbox


class _Canvas:
    """Memory for images that are fitted in.

    Attributes:
        pixels: of each of them, (N, height, width, 3).
        filled: how much of each, (width, height), is not padding.
    """

    def __init__(self, count: int, input_size: tuple[int, int], padding: tuple[int, int, int]) -> None:
        self.pixels = np.full((count, *input_size, 3), padding, np.uint8)
        self.filled = [(0, 0)] * count


class Preprocessor:
    """Fits images of any size into the network's input: aspect kept, padded at the bottom and right.

    Args:
        config: of the network.
    """

    decodes = False

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        # Two in turn: the network may still read one.
        self._canvas, self._other = (_Canvas(0, config.input_size, config.padding) for _ in range(2))

    def __call__(self, images: Sequence[Array]) -> tuple[Array, list[Letterbox]]:
        """Fit images in, of one size or several.

        Args:
            images: each (H, W, 3) BGR or (H, W) grey, uint8.

        Returns:
            The network's input (B, height, width, 3), valid until the next call but one, and the way back for each
            image.

        Raises:
            ValueError: another shape or dtype, or no pixels.
        """
        for image in images:
            check_image(image)
        self._canvas, self._other = self._other, self._canvas
        if len(images) > len(self._canvas.pixels):
            self._canvas = _Canvas(len(images), self._config.input_size, self._config.padding)
        letterboxes = [self._fit(image, place) for place, image in enumerate(images)]
        return self._canvas.pixels[: len(images)], letterboxes

    def _fit(self, image: Array, place: int) -> Letterbox:
        sizes, letterbox = plan((image.shape[1], image.shape[0]), self._config)
        canvas, (width, height) = self._canvas.pixels[place], sizes[-1]
        if sizes[-1] != self._canvas.filled[place]:
            canvas[...] = self._config.padding
            self._canvas.filled[place] = sizes[-1]
        for size in sizes:
            image = cv2.resize(image, size)
        canvas[:height, :width] = image[:, :, None] if image.ndim == 2 else image
        return letterbox

    def decode(self, content: bytes) -> None:
        """None: pictures are decoded elsewhere."""

    def close(self) -> None:
        """Nothing to free."""
