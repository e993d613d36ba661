"""An image message as the network sees it, and whole for whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from qdtrack_model.boxes import clip_boxes
from qdtrack_model.fitting import reduction_of
from qdtrack_model.runtimes.cuda.jpeg import GpuPicture
from qdtrack_model.sensors.encodings import REDUCTIONS, colour_jpeg, compressed_image, jpeg_size
from qdtrack_model.structures import Array, Detections
from qdtrack_ros.input.bridge import bridged_image

Decode: TypeAlias = Callable[[bytes], GpuPicture | None]
ImageMessage: TypeAlias = Image | CompressedImage | Any  # or a packet of a video, whose type not every robot has


def image_array(message: ImageMessage) -> Array:
    """The picture in a message as uint8, BGR (H, W, 3) or grey (H, W).

    Raises:
        InvalidImage: an encoding that is no camera image, or a broken message.
    """
    return compressed_image(message) if isinstance(message, CompressedImage) else bridged_image(message)


@dataclass(frozen=True, eq=False)
class SourceImage:
    """The pixels of an image message; a JPEG that would be reduced for the network is decoded so, if not by the GPU.

    Attributes:
        message: the image as it came.
        pixels: uint8, (H, W, 3) BGR or (H, W) grey, here or on the GPU; both sides of the image divided by
            ``reduction``, rounded up.
        reduction: 1 where the pixels are all there are.
        size: width and height of the image.
    """

    message: ImageMessage
    pixels: Array | GpuPicture
    reduction: int
    size: tuple[int, int]

    @classmethod
    def read(cls, message: ImageMessage, input_size: tuple[int, int], decode: Decode | None = None) -> SourceImage:
        """The image in a message.

        Args:
            message: whatever a camera sends.
            input_size: (height, width) of the input of the network that it is for.
            decode: decodes a colour JPEG on the GPU, or gives None.

        Raises:
            InvalidImage: an encoding that is no camera image, or a broken message.
        """
        content = colour_jpeg(message) if decode and isinstance(message, CompressedImage) else None
        picture = decode(content) if decode and content else None
        if picture is not None:
            return cls(message, picture, 1, (picture.shape[1], picture.shape[0]))
        size = jpeg_size(message) if isinstance(message, CompressedImage) else None
        reduction = min(reduction_of(size, input_size), max(REDUCTIONS)) if size and all(size) else 1
        if size and reduction > 1:
            return cls(message, compressed_image(message, reduction), reduction, size)
        return cls.decoded(message, image_array(message))

    @classmethod
    def decoded(cls, message: ImageMessage, pixels: Array) -> SourceImage:
        """The image in a message whose ``pixels`` are known, all of them."""
        return cls(message, pixels, 1, (pixels.shape[1], pixels.shape[0]))

    @cached_property
    def whole(self) -> Array:
        """All pixels, here."""
        return self.pixels if isinstance(self.pixels, np.ndarray) and self.reduction == 1 else image_array(self.message)

    def to_source(self, detections: Detections, clip: bool) -> Detections:
        """Detections in :attr:`pixels` as ones in the image; ``clip`` says whether boxes end at its border."""
        if self.reduction == 1:
            return detections
        boxes = detections.boxes * self.reduction
        if clip:  # the last pixels may reach beyond it
            boxes = clip_boxes(boxes, self.size)
        return Detections(boxes, detections.scores, detections.labels, detections.embeddings)
