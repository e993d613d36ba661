"""Videos and folders give their images in order, with the right numbers and times, or say what is wrong."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from qdtrack_model.data.bags import BagError, BagFrame, write_bag
from qdtrack_model.data.readers.mot import SequenceInfo, write_seqinfo
from qdtrack_model.data.sources import SourceError, _GrowingTime, open_source
from qdtrack_model.drawing.video import VideoWriter


def grey(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def write_video(path: Path, times: list[float]) -> None:
    """A video whose n-th image has the grey value 20 n (up to 12)."""
    with VideoWriter(path, 25) as writer:
        for n, time in enumerate(times):
            writer.write(grey(20 * (n % 12 + 1)), time)


def test_video_in_order_with_its_own_times(tmp_path: Path) -> None:
    times = [0, 0.04, 0.08, 0.2, 0.24]
    write_video(tmp_path / "clip.mp4", times)
    with open_source(tmp_path / "clip.mp4") as source:
        frames = list(source)
    assert source.name == "clip"
    assert source.size == (64, 48)
    assert [f.index for f in frames] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([f.time for f in frames], times, atol=2e-3)
    np.testing.assert_allclose([f.image.mean() for f in frames], [20, 40, 60, 80, 100], atol=4)


def test_frame_rate_of_the_sequence_wins_over_the_video(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [0, 0.02, 0.04, 0.06])
    write_seqinfo(tmp_path, SequenceInfo("walk", 10, 4, 64, 48))
    with open_source(tmp_path) as source:
        assert (source.name, source.frame_rate, source.length) == ("walk", 10, 4)
        np.testing.assert_allclose([f.time for f in source], [0, 0.1, 0.2, 0.3])


def test_the_environment_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "clip.mp4", [0, 0.04])
    for before in (None, "16"):
        monkeypatch.delenv("OPENCV_FFMPEG_LOGLEVEL", raising=False)
        if before is not None:
            monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", before)
        open_source(tmp_path / "clip.mp4").close()
        assert os.environ.get("OPENCV_FFMPEG_LOGLEVEL") == before


def test_times_that_do_not_grow_are_replaced_by_one_step() -> None:
    growing = _GrowingTime(0.1)
    np.testing.assert_allclose([growing(t) for t in (0, 0.5, 0.5, 0.2, 1.75)], [0, 0.5, 0.6, 0.7, 1.75])
    constant = _GrowingTime(0.1)
    np.testing.assert_allclose([constant(0) for _ in range(3)], [0, 0.1, 0.2])


def test_real_clip_has_exactly_its_frames(clips: Path) -> None:
    with open_source(clips / "plaza") as source:
        last, count = None, 0
        for last in source:  # noqa: B007
            count += 1
    assert source.size == (1280, 720)
    assert count == 341
    assert last is not None
    assert (last.index, last.time) == (341, pytest.approx(13.6))


def test_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for n in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"shot{n}.png"), grey(n))
    cv2.imwrite(str(tmp_path / "shot²³.png"), grey(11))  # digits to Python, but no number
    (tmp_path / "notes.txt").write_text("no image")
    with open_source(tmp_path) as source:
        assert [(f.index, int(f.image[0, 0, 0])) for f in source] == [(1, 1), (2, 2), (3, 10), (4, 11)]
        assert source.length == 4


def test_sequence_folder_keeps_the_numbers_of_its_files(blob_folder: Path) -> None:
    (blob_folder / "img1" / "000003.png").unlink()
    with open_source(blob_folder) as source:
        frames = list(source)
    assert source.name == "squares"
    assert [f.index for f in frames[:3]] == [1, 2, 4]
    assert frames[2].time == pytest.approx(0.3)


def test_images_that_cannot_be_decoded_are_counted_and_keep_their_index(blob_folder: Path) -> None:
    (blob_folder / "img1" / "000002.png").write_bytes(b"")
    (blob_folder / "img1" / "000005.png").write_bytes(b"\x89PNG broken")
    with open_source(blob_folder) as source:
        indices = [f.index for f in source]
    assert source.undecodable == 2
    assert indices == [1, 3, 4, *range(6, 21)]


def test_an_image_that_announces_absurdly_many_pixels_is_left_out(blob_folder: Path) -> None:
    size = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(999))), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in parts]
    (blob_folder / "img1" / "000002.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with open_source(blob_folder) as source:
        assert [f.index for f in source][:2] == [1, 3]
    assert source.undecodable == 1


def test_grey_images_come_as_three_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 9), 7, np.uint8))
    (frame,) = open_source(tmp_path)
    assert frame.image.shape == (8, 9, 3)


def test_nothing_decodable(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(SourceError, match="not one of its 1 images could be decoded"):
        list(open_source(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"])
def test_broken_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(SourceError, match=r"clip\.mp4: not a video that can be decoded"):
        open_source(tmp_path / "clip.mp4")


def test_video_cut_off_in_the_middle(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [n / 25 for n in range(60)])
    whole = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) - 200])
    with open_source(tmp_path / "cut.mp4") as source:
        count = len(list(source))
    assert 0 < count < 60 == source.length


def test_video_damaged_in_the_middle_goes_on_with_the_right_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "clip.mp4", 25) as writer:
        for n in range(60):  # noise, so that every frame has many bytes
            writer.write(rng.integers(0, 255, (96, 128, 3), np.uint8), n / 25)
    data = bytearray((tmp_path / "clip.mp4").read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    (tmp_path / "clip.mp4").write_bytes(data)
    with open_source(tmp_path / "clip.mp4") as source:
        frames = list(source)
    assert source.undecodable > 0
    assert len(frames) + source.undecodable == 60
    assert frames[-1].index == 60
    # The decoder works ahead and reports damage a little early: numbers are right again once it is past.
    after = [f for f in frames if f.index > 45]
    np.testing.assert_allclose([f.time for f in after], [(f.index - 1) / 25 for f in after], atol=2e-3)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(tmp_path / "none")
    with pytest.raises(SourceError, match="neither images"):
        open_source(tmp_path)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").touch()
    with pytest.raises(SourceError, match=r"2 videos \(a\.mp4, b\.mp4"):
        open_source(tmp_path)


def test_topic_is_for_bags(blob_folder: Path) -> None:
    with pytest.raises(SourceError, match="topic '/camera' is for bags"):
        open_source(blob_folder, topic="/camera")


def test_broken_sequence_information_is_a_source_error(blob_folder: Path) -> None:
    (blob_folder / "seqinfo.ini").write_text("[Sequence]\n")
    with pytest.raises(SourceError, match=r"seqinfo\.ini: frameRate is None"):
        open_source(blob_folder)


def test_a_single_image(blob_folder: Path) -> None:
    (frame,) = open_source(blob_folder / "img1" / "000002.png")
    assert (frame.index, frame.time) == (1, 0)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_bag_as_folder_and_as_file(tmp_path: Path, storage: str) -> None:
    write_bag(tmp_path / "drive", [BagFrame(grey(40 * n)) for n in (1, 2, 3)], 10, storage=storage)
    (file,) = (f for f in (tmp_path / "drive").iterdir() if f.suffix in (".mcap", ".db3"))
    for path in (tmp_path / "drive", file):
        with open_source(path) as source:
            frames = list(source)
        assert [f.index for f in frames] == [1, 2, 3]
        np.testing.assert_allclose(np.diff([f.time for f in frames]), 0.1, atol=1e-6)
        np.testing.assert_allclose([f.image.mean() for f in frames], [40, 80, 120], atol=3)


def test_damaged_images_in_a_bag_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = cv2.imencode
    broken = np.zeros((1, 9), np.uint8)
    images = [grey(40), np.full((48, 64), 99, np.uint8), grey(120)]

    def encode_all_but_grey(suffix: str, image: np.ndarray, options: list[int]) -> tuple[bool, np.ndarray]:
        return (True, broken) if image.ndim == 2 else encode(suffix, image, options)

    monkeypatch.setattr(cv2, "imencode", encode_all_but_grey)
    write_bag(tmp_path / "drive", [BagFrame(image) for image in images], 10)
    write_bag(tmp_path / "nothing", [BagFrame(images[1])], 10)
    with open_source(tmp_path / "drive") as source:
        assert [f.index for f in source] == [1, 3]
        assert source.undecodable == 1
    with pytest.raises(SourceError, match=r"image 1: cannot be decoded: 9 bytes of"):
        list(open_source(tmp_path / "nothing"))


def test_bag_without_images(tmp_path: Path) -> None:
    write_bag(tmp_path / "empty", [], 10)
    with pytest.raises(BagError, match="no image topic"):
        list(open_source(tmp_path / "empty"))
    write_bag(tmp_path / "drive", [BagFrame(grey(40))], 10)
    with pytest.raises(BagError, match="no image topic '/rear'; topics: /camera/image/compressed"):
        list(open_source(tmp_path / "drive", topic="/rear"))
    (tmp_path / "broken.mcap").write_bytes(b"no bag")
    with pytest.raises(BagError, match="broken"):
        list(open_source(tmp_path / "broken.mcap"))
