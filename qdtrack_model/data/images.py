"""Compressed images as pixels, and image files."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from qdtrack_model.sensors.image_headers import shown_size
from qdtrack_model.structures import Array

JPEG_QUALITY = 92  # of images that are recorded
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
HEADER = 65536  # bytes of an image file that hold its size


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key: runs of digits compare as numbers, so that ``2.png`` comes before ``10.png``."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.stem) if part]


def image_files(folder: Path) -> list[Path]:
    """The image files right in a folder, in the order of their names."""
    return sorted((f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()), key=natural)


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height [pixels] of an image file as :func:`decode` gives it, from its header where that says so; None
    where it is no image."""
    with path.open("rb") as file:
        size = shown_size(file.read(HEADER))
    if size != (0, 0):
        return size
    image = decode(np.fromfile(path, np.uint8))
    return None if image is None else (image.shape[1], image.shape[0])


def decode(data: Array) -> Array | None:
    """(H, W, 3) BGR uint8 of the bytes (N,) uint8 of a JPEG, PNG ..., turned as its Exif says; None where they are no
    image.

    A header that announces more pixels than any camera has (OpenCV's limit is 2**30) is no image either.
    """
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:
        return None
