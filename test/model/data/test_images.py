"""The size of an image file, without decoding it, is that of what is decoded: labels are in these pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from qdtrack_model.data.images import decode, image_size


def photograph(orientation: int, order: Literal["little", "big"]) -> bytes:
    """A JPEG of 48x32 with an Exif of another entry and the orientation."""
    coded = cv2.imencode(".jpg", np.full((32, 48, 3), 90, np.uint8))[1].tobytes()

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, order)

    entries = [number(tag, 2) + number(3, 2) + number(1, 4) + number(value, 2) + b"\0\0"
               for tag, value in ((0x0103, 6), (0x0112, orientation))]  # fmt: skip
    mark = b"II" if order == "little" else b"MM"
    tiff = mark + number(42, 2) + number(8, 4) + number(len(entries), 2) + b"".join(entries) + number(0, 4)
    exif = b"Exif\0\0" + tiff
    return coded[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + coded[2:]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_as_large_as_it_is_shown(
    tmp_path: Path, orientation: int, order: Literal["little", "big"]
) -> None:
    content = photograph(orientation, order)
    image = decode(np.frombuffer(content, np.uint8))
    assert image is not None
    (tmp_path / "a.jpg").write_bytes(content)
    assert image_size(tmp_path / "a.jpg") == image.shape[1::-1] == ((48, 32) if orientation < 5 else (32, 48))


def test_an_exif_that_is_cut_off_turns_nothing(tmp_path: Path) -> None:
    coded = cv2.imencode(".jpg", np.full((32, 48, 3), 90, np.uint8))[1].tobytes()
    for rest in (b"", b"MM", b"MM\0*\0\0\0\x08", b"MM\0*\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff\x01\x12"):
        exif = b"Exif\0\0" + rest
        (tmp_path / "a.jpg").write_bytes(coded[:2] + b"\xff\xe1" + bytes([0, len(exif) + 2]) + exif + coded[2:])
        assert image_size(tmp_path / "a.jpg") == (48, 32)
