"""Compressed images as pixels."""

from __future__ import annotations

import cv2

from qdtrack_model.structures import Array

JPEG_QUALITY = 92  # of images that are recorded


def decode(data: Array) -> Array | None:
    """(H, W, 3) BGR uint8 of the bytes (N,) uint8 of a JPEG, PNG ...; None where they are no image.

    A header that announces more pixels than any camera has (OpenCV's limit is 2**30) is no image either.
    """
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:
        return None
