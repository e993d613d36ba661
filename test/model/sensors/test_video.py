"""H.264 and H.265 in messages: every picture with its own packet, and none that is smeared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.sensors.nal_units import BrokenUnit, PictureNumbers, is_key_frame
from qdtrack_model.sensors.video import Packet, VideoStream
from qdtrack_model.structures import Array

from ...encoded_video import drifting, encoded

CODECS = {"h264": "libx264", "h265": "libx265"}
PICTURES = drifting(16)


def packets(codec: str, **options: str) -> list[Packet]:
    return [packet(data, codec) for data in encoded(PICTURES, CODECS[codec], **options)]


def packet(data: bytes, name: str = "h264") -> Packet:
    return Packet.of(SimpleNamespace(format=name, data=data))


def shown(stream: VideoStream, given: list[Packet]) -> list[Any]:
    """The pixels of each packet, or the problem that kept it from being shown."""
    found: list[Any] = []
    for one in given:
        try:
            found.append(stream.decode(one)())
        except InvalidImage as error:
            found.append(error.problem)
    return found


def assert_like(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).mean() < 7  # the picture before or after is 12 off


@pytest.mark.parametrize("codec", CODECS)
def test_every_packet_gives_its_own_picture_at_once(codec: str) -> None:
    stream = VideoStream()
    for found, expected in zip(shown(stream, packets(codec)), PICTURES, strict=True):
        assert_like(found, expected)
    assert stream.interruptions == 0


@pytest.mark.parametrize("codec", CODECS)
def test_begins_at_a_key_frame(codec: str) -> None:
    found = shown(VideoStream(), packets(codec)[2:])
    assert found[:4] == ["no key frame"] * 4
    for one, expected in zip(found[4:], PICTURES[6:], strict=True):
        assert_like(one, expected)


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_is_shown_from_a_lost_packet_to_the_next_key_frame(codec: str) -> None:
    stream, given = VideoStream(), packets(codec)
    found = shown(stream, given[:8] + given[9:])
    assert all(isinstance(one, str) for one in found[8:11])  # packets 9 to 11; 12 is a key frame
    for one, expected in zip(found[:8] + found[11:], PICTURES[:8] + PICTURES[12:], strict=True):
        assert_like(one, expected)
    assert stream.interruptions == 1


@pytest.mark.parametrize(("codec", "length"), [("h264", 5), ("h264", 9), ("h264", 40), ("h265", 5), ("h265", 9)])
def test_a_broken_packet_costs_the_pictures_up_to_the_next_key_frame(codec: str, length: int) -> None:
    stream, given = VideoStream(), packets(codec)
    noise = np.random.default_rng(length).integers(0, 256, 300, dtype=np.uint8).tobytes()
    for damaged in (given[7].data[:length], noise):
        found = shown(stream, [*given[:7], packet(damaged, codec), *given[8:]])
        assert found[7] == "cannot be decoded" and found[8:12] == ["no key frame"] * 4
        for one, expected in zip(found[12:], PICTURES[12:], strict=True):
            assert_like(one, expected)
    assert stream.interruptions == 2


def test_any_byte_may_be_wrong() -> None:
    """What comes before is shown; from then on, whatever comes out is a picture or a refusal that has a name."""
    given, random = packets("h264"), np.random.default_rng(3)
    for _ in range(60):
        index = int(random.integers(len(given)))
        data = np.frombuffer(given[index].data, np.uint8).copy()
        data[random.integers(len(data), size=random.integers(1, 8))] ^= np.uint8(1 << random.integers(8))
        found = shown(VideoStream(), [*given[:index], packet(data.tobytes()), *given[index + 1 : index + 3]])
        for one, expected in zip(found[:index], PICTURES[:index], strict=True):
            assert_like(one, expected)
        for one in found[index:]:
            pixels = isinstance(one, np.ndarray) and one.dtype == np.uint8 and one.ndim == 3 and one.shape[2] == 3
            assert pixels or one in ("cannot be decoded", "no key frame", "delayed video")


def test_reordered_pictures_are_refused_rather_than_stamped_wrong() -> None:
    given = packets("h264", tune="film", preset="medium", bf="2")
    with pytest.raises(InvalidImage, match=r"delayed video.*no B-frames \(of x264: tune zerolatency\)"):
        VideoStream().decode(given[0])
    assert set(shown(VideoStream(), given)) == {"delayed video"}


def test_a_camera_may_change_its_codec_and_size() -> None:
    other = drifting(2, (128, 96))
    given = [*packets("h264")[:3], *map(packet, encoded(other)), *packets("h265")[:2]]
    for one, expected in zip(shown(VideoStream(), given), [*PICTURES[:3], *other, *PICTURES[:2]], strict=True):
        assert_like(one, expected)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("h264", "h264"), ("h265", "hevc"), ("hevc", "hevc"), ("libx264", "h264"), ("hevc_nvenc", "hevc"),
     ("h264;yuv420p;bgr8;bgr8", "h264")],
)  # fmt: skip
def test_names_of_codecs(name: str, codec: str) -> None:
    assert Packet.of(SimpleNamespace(encoding=name, data=b"x")).codec == codec


@pytest.mark.parametrize(
    ("name", "data", "reason"), [("av1", b"x", "'av1', expected h264 or h265"), ("h264", b"", "empty")]
)
def test_other_messages_are_refused(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(InvalidImage, match=reason):
        packet(data, name)


@pytest.mark.parametrize(
    "options",
    [{"preset": "ultrafast"}, {"preset": "medium", "bf": "0"}, {"profile": "high444"},
     {"preset": "medium", "bf": "0", "x264-params": "cqm=jvt:slices=3"}],
    ids=["baseline", "high", "high444", "matrices and slices"],
)  # fmt: skip
def test_a_gap_in_the_numbers_is_found(options: dict[str, str]) -> None:
    given = encoded(PICTURES, **options)
    numbers = PictureNumbers()
    assert [numbers.missing(data) for data in given] == [0] * len(given)
    assert [is_key_frame("h264", data) for data in given] == [number % 6 == 0 for number in range(16)]
    numbers = PictureNumbers()
    assert [numbers.missing(data) for data in given[:2] + given[4:8]] == [0, 0, 2, 0, 0, 0]


def test_parameters_that_are_cut_off_are_told() -> None:
    with pytest.raises(BrokenUnit, match="ends within a field"):
        PictureNumbers().missing(b"\0\0\0\1\x67\x64")
