"""Videos are H.264 in MP4 with the times that were given, and appear only when they are complete."""

from pathlib import Path

import av
import numpy as np
import pytest

from qdtrack_model.drawing.video import VideoError, VideoWriter


def picture(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_what_browsers_need(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clip.mp4"
    times = [100.0, 100.04, 100.12, 100.5]
    with VideoWriter(path, 25) as writer:
        for n, time in enumerate(times):
            writer.write(picture(40 + 50 * n), time)
            assert not path.exists()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = list(container.decode(stream))
    np.testing.assert_allclose([f.time for f in frames], np.array(times) - 100, atol=1e-3)
    np.testing.assert_allclose([f.to_ndarray(format="bgr24").mean() for f in frames], [40, 90, 140, 190], atol=4)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "playable before it is loaded to the end"
    assert [p.name for p in path.parent.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (64, 47)])
def test_odd_sides(tmp_path: Path, size: tuple[int, int]) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        writer.write(picture(80, *size), 0)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1


def test_size_and_time_may_misbehave(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        writer.write(picture(80), 5)
        writer.write(picture(80, 640, 480), 5)
        writer.write(picture(80, 30, 20), 4)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert len(list(container.decode(video=0))) == 3


def test_without_an_image_there_is_no_file(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "clip.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_after_an_error_the_older_file_stays(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"older")

    def fail() -> None:
        with VideoWriter(tmp_path / "clip.mp4") as writer:
            writer.write(picture(80), 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "clip.mp4").read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_images_too_large_for_the_encoder(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match=r"images are 20000x8, and H\.264 takes 16384"),
        VideoWriter(tmp_path / "clip.mp4") as writer,
    ):
        writer.write(picture(80, 20_000, 8), 0)
    assert list(tmp_path.iterdir()) == []


def test_other_containers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"expected a name that ends in \.mp4"):
        VideoWriter(tmp_path / "clip.avi")
