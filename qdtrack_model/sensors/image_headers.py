"""What a JPEG or PNG says of itself before it is decoded: its size, how it is turned, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_SCAN, _END = 0xDA, 0xD9
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame, of every coding
_ALONE = {0x00, 0x01, *range(0xD0, 0xD9)}  # markers without a length
_APPLICATION, _EXIF, _ORIENTATION = 0xE1, b"Exif\0\0", 0x0112


def announced_size(data: bytes) -> tuple[int, int]:
    """The width and height in a PNG's or JPEG's header [pixels], the largest if there are several; 0, 0 without any."""
    if data[:8] == _PNG:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    sizes = [(0, 0)]
    for marker, place in _jpeg_segments(data):
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (5, 7))
            sizes.append((width, height))
    return max(sizes, key=lambda size: size[0] * size[1])


def shown_size(data: bytes) -> tuple[int, int]:
    """The width and height of an image as it is to be shown [pixels]: of a photograph that its Exif turns on its side
    the announced ones change places."""
    width, height = announced_size(data)
    return (height, width) if _is_turned(data) else (width, height)


def _is_turned(data: bytes) -> bool:
    """Whether a JPEG's Exif says that rows are to be shown as columns: orientations 5 to 8."""
    for marker, place in _jpeg_segments(data):
        if marker != _APPLICATION or data[place + 4 : place + 10] != _EXIF:
            continue
        tiff = data[place + 10 :]
        order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"
        start = int.from_bytes(tiff[4:8], order)
        count = int.from_bytes(tiff[start : start + 2], order)
        for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff)), 12):
            if int.from_bytes(tiff[entry : entry + 2], order) == _ORIENTATION:
                return 5 <= int.from_bytes(tiff[entry + 8 : entry + 10], order) <= 8
    return False


def is_colour_jpeg(data: bytes) -> bool:
    """Whether it is a JPEG of three colours with 8 bits each, as cameras send them."""
    frames = [place for marker, place in _jpeg_segments(data) if marker in _FRAMES]
    return (
        len(frames) == 1
        and data[frames[0] + 4 : frames[0] + 5] == b"\x08"
        and data[frames[0] + 9 : frames[0] + 10] == b"\x03"
    )


def is_cut_off_jpeg(data: bytes) -> bool:
    """Whether a JPEG lacks its end marker.

    The marker is looked for behind the headers, where a whole thumbnail with a marker of its own may lie. What comes
    after it does not matter: cameras pad.
    """
    if data[:2] != _JPEG:
        return False
    *_, (_, place) = (0, 2), *_jpeg_segments(data)
    return data.rfind(_END_OF_IMAGE, place) < 0


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers and where they are, up to the first scan or the end; as libjpeg does, rubbish between them is skipped."""
    if data[:2] != _JPEG:
        return
    place = data.find(b"\xff", 2)
    while 0 <= place < len(data) - 3:
        marker = data[place + 1]
        if marker == 0xFF:  # a filling byte
            place += 1
            continue
        yield marker, place
        if marker in (_SCAN, _END):
            return
        length = 0 if marker in _ALONE else int.from_bytes(data[place + 2 : place + 4], "big")
        place = data.find(b"\xff", place + 2 + length)
