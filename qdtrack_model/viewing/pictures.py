"""What both kinds of files have in common: images as JPEG, and colours that belong to ids."""

from __future__ import annotations

from zlib import crc32

import cv2

from qdtrack_model.drawing.overlay import Colour, colour_of
from qdtrack_model.structures import Array

_QUALITY = 90


def jpeg(image: Array) -> bytes:
    """An image (H, W, 3) BGR as JPEG."""
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def colour_of_name(identity: str) -> Colour:
    """The colour of an id as text: that of its number where it is one, else one of its own."""
    return colour_of(int(identity) if identity.isdecimal() else crc32(identity.encode()))
