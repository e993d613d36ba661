"""What H.264 and H.265 packets say of themselves before they are decoded: key frames, and pictures that are missing.

FFmpeg's H.264 decoder conceals a missing picture without a word: whatever follows is drawn over the wrong one until the
next key frame. The pictures are numbered, so that a gap can be seen here. Of H.265 the decoder tells itself.

ITU-T H.264 (08/2021) and H.265 (08/2021), byte streams as in their Annex B.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

Codec = Literal["h264", "hevc"]

_START_CODE = b"\0\0\1"
_SLICE, _KEY_SLICE, _PARAMETERS = 1, 5, 7  # H.264, table 7-1: of a picture, of an IDR picture, sequence parameter set
_HEVC_PICTURES, _HEVC_KEYS = range(0, 32), range(16, 24)  # H.265, table 7-1
_SLICE_HEADER, _LONGEST = (
    24,
    1024,
)  # bytes in which the picture's number, and what is read of parameters, lies for certain
_WITH_CHROMA_FORMAT = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}  # profiles, 7.3.2.1.1


class BrokenUnit(ValueError):
    """A unit that ends before its fields do."""


class _Bits:
    """Fields of a unit, read one after the other (H.264, 7.2 and 9.1)."""

    def __init__(self, payload: bytes) -> None:
        payload = payload.replace(b"\0\0\3", b"\0\0")  # the 3 keeps start codes out of payloads, 7.4.1
        self._value, self._left = int.from_bytes(payload, "big"), 8 * len(payload)

    def bits(self, count: int) -> int:
        """An unsigned number of ``count`` bits."""
        if count > self._left:
            raise BrokenUnit("a header ends within a field")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def unsigned(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb number."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _units(data: bytes) -> Iterator[int]:
    """Where each unit begins, behind its start code."""
    place = data.find(_START_CODE)
    while 0 <= place < len(data) - len(_START_CODE):
        yield place + len(_START_CODE)
        place = data.find(_START_CODE, place + len(_START_CODE))


def is_key_frame(codec: Codec, data: bytes) -> bool:
    """Whether decoding can begin with this packet: its first slice is of an IDR picture, of H.265 of an IRAP one."""
    for place in _units(data):
        if codec == "hevc":
            kind = data[place] >> 1 & 0x3F
            if kind in _HEVC_PICTURES:
                return kind in _HEVC_KEYS
        elif data[place] & 0x1F in (_SLICE, _KEY_SLICE):
            return data[place] & 0x1F == _KEY_SLICE
    return False


class PictureNumbers:
    """Finds gaps in the numbers of an H.264 stream's pictures (``frame_num``, 7.4.3)."""

    def __init__(self) -> None:
        self._modulus = 0  # 0: no parameters yet, or they allow gaps
        self._separate_planes = False
        self._next = 0

    def missing(self, data: bytes) -> int:
        """How many pictures that others build on are missing before this packet's, modulo what the numbers count to.

        Raises:
            BrokenUnit: a header is cut off.
        """
        for place in _units(data):
            kind = data[place] & 0x1F
            if kind == _PARAMETERS:
                self._read_parameters(_Bits(data[place + 1 : place + 1 + _LONGEST]))
            elif kind in (_SLICE, _KEY_SLICE):
                return self._judge(data, place) if self._modulus else 0
        return 0

    def _judge(self, data: bytes, place: int) -> int:
        header = _Bits(data[place + 1 : place + 1 + _SLICE_HEADER])
        for _ in range(3):  # first macroblock, kind of slice, picture parameter set
            header.unsigned()
        if self._separate_planes:
            header.bits(2)
        number = header.bits(self._modulus.bit_length() - 1)
        missing = 0 if data[place] & 0x1F == _KEY_SLICE else (number - self._next) % self._modulus
        if data[place] >> 5:  # others build on it
            self._next = (number + 1) % self._modulus
        return missing

    def _read_parameters(self, fields: _Bits) -> None:
        """The sequence parameter set up to whether gaps are allowed (7.3.2.1.1)."""
        profile = fields.bits(8)
        fields.bits(16)
        fields.unsigned()
        self._separate_planes = False
        if profile in _WITH_CHROMA_FORMAT:
            self._read_chroma_format(fields)
        modulus = 1 << fields.unsigned() + 4
        order = fields.unsigned()
        if order == 0:
            fields.unsigned()
        elif order == 1:
            fields.bits(1)
            for _ in range(2):
                fields.signed()
            for _ in range(fields.unsigned()):
                fields.signed()
        fields.unsigned()
        gaps_allowed = fields.bits(1)
        self._modulus = 0 if gaps_allowed else modulus

    def _read_chroma_format(self, fields: _Bits) -> None:
        chroma = fields.unsigned()
        if chroma == 3:
            self._separate_planes = bool(fields.bits(1))
        fields.unsigned()
        fields.unsigned()
        fields.bits(1)
        if not fields.bits(1):
            return
        for index in range(12 if chroma == 3 else 8):  # lists of scales
            last = following = 8
            for _ in range((16 if index < 6 else 64) if fields.bits(1) else 0):
                if following:
                    following = (last + fields.signed()) % 256
                last = following or last
