"""MOTChallenge files are read as they stand, and what is wrong in them is named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdtrack_model.checkpoints.presets import preset_files, read_preset
from qdtrack_model.config import OneShotConfig
from qdtrack_model.data.readers.mot import (
    MotBoxes,
    MotError,
    SequenceInfo,
    class_columns,
    from_tracks,
    read_mot,
    read_mot_frames,
    read_seqinfo,
    write_mot,
    write_seqinfo,
)
from qdtrack_model.structures import Tracks

NUMBER = st.integers(-200_000, 2_000_000).map(lambda n: n / 1000)
SIDE = st.integers(0, 2_000_000).map(lambda n: n / 1000)
ROW = st.tuples(st.integers(1, 9), st.integers(0, 10**9), NUMBER, NUMBER, SIDE, SIDE, st.sampled_from([0.0, 0.25, 1.0]))


@settings(deadline=None)
@given(st.lists(ROW, max_size=12, unique_by=lambda row: row[:2]))
def test_what_is_written_is_read_back(rows: list[tuple[float, ...]]) -> None:
    import tempfile

    table = np.array(rows, float).reshape(-1, 7)
    boxes = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    written = MotBoxes(table[:, 0], table[:, 1], boxes, table[:, 6], np.full(len(table), 3), np.full(len(table), 0.5))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "gt.txt"
        write_mot(path, written)
        read = read_mot(path)
    np.testing.assert_allclose(read.boxes, written.boxes, atol=2e-3)
    for name in ("frames", "ids", "confidences", "classes", "visibilities"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name), name)


def test_left_and_top_are_not_shifted_by_one(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("1,7,100.5,50.25,20,40,1,3,0.4\n\n")
    boxes = read_mot(tmp_path / "gt.txt")
    np.testing.assert_array_equal(boxes.boxes, [[100.5, 50.25, 120.5, 90.25]])
    assert (boxes.classes[0], boxes.visibilities[0]) == (3, 0.4)


@pytest.mark.parametrize(
    ("tail", "kind", "visibility"),
    [
        ("", -1, -1),
        (",2", 2, -1),
        (",2,.5", 2, 0.5),
        (",-1,-1,-1", -1, -1),
        (",3,-1,-1", 3, -1),
        (",4.4852,5.5016,0", -1, -1),  # MOT15 world coordinates are no class
        (",4,5.5,0", -1, -1),
    ],
)
def test_columns_after_the_confidence(tmp_path: Path, tail: str, kind: int, visibility: float) -> None:
    (tmp_path / "gt.txt").write_text(f"1,1,1,1,2,2,1{tail}\n")
    boxes = read_mot(tmp_path / "gt.txt")
    assert (boxes.classes[0], boxes.visibilities[0]) == (kind, visibility)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,1,1,1,2,2,1\n1,2,1,x,2,2,1\n", "line 2: top is 'x', expected a number"),
        ("1,1,1,1,nan,2,1\n", "line 1: width is 'nan'"),
        ("1,1,1,1,inf,2,1\n", "line 1: width is 'inf'"),
        ("1,1,1,1,-2,2,1\n", "line 1: width is -2, expected 0 or more"),
        ("0,1,1,1,2,2,1\n", "line 1: frame is 0, but frames count from 1"),
        ("1.5,1,1,1,2,2,1\n", "line 1: frame is 1.5, expected a whole number"),
        ("1,1e20,1,1,2,2,1\n", r"line 1: id is 1e\+20, expected a whole number"),
        ("1,1,1\n", "line 1: got 3 columns, expected 7 to 10"),
        ("1,4,1,1,2,2,1\n\n1,4,5,5,2,2,1\n", r"line 3: id 4 is in frame 1 already \(line 1\)"),
        ("hello\n", "line 1: got 1 columns"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "gt.txt").write_text(text)
    with pytest.raises(MotError, match=message) as caught:
        read_mot(tmp_path / "gt.txt")
    assert str(tmp_path / "gt.txt") in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(MotError, match="No such file"):
        read_mot(tmp_path / "none.txt")
    (tmp_path / "gt.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(MotError, match="not a text file"):
        read_mot(tmp_path / "gt.txt")


def test_detections_share_the_id_of_none_and_an_empty_file_is_valid(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("1,-1,1,1,2,2,.9\n1,-1,5,5,2,2,.8\n")
    assert len(read_mot(tmp_path / "det.txt")) == 2
    (tmp_path / "empty.txt").write_text("")
    assert len(read_mot(tmp_path / "empty.txt")) == 0


@pytest.mark.parametrize("lines", [1, 2, 3, 100])
def test_frames_of_a_long_file_come_one_by_one(tmp_path: Path, lines: int) -> None:
    frames = [1, 1, 1, 4, 4, 5, 9]
    table = np.arange(28, dtype=float).reshape(7, 4)
    table[:, 2:] += table[:, :2]
    ones = np.ones(7)
    write_mot(tmp_path / "long.txt", MotBoxes(frames, np.arange(7), table, ones, ones, ones))
    whole = read_mot(tmp_path / "long.txt")
    found = list(read_mot_frames(tmp_path / "long.txt", lines))
    assert [number for number, _ in found] == [1, 4, 5, 9]
    for number, boxes in found:
        assert boxes.ids.tolist() == whole.ids[whole.frames == number].tolist()
        np.testing.assert_array_equal(boxes.boxes, whole.boxes[whole.frames == number])
    (tmp_path / "empty.txt").touch()
    assert list(read_mot_frames(tmp_path / "empty.txt")) == []
    for text, message in (("1,1,0,0,5\n", "5 columns"), ("2,1,0,0,5,5,1,1,1\n1,1,0,0,5,5,1,1,1\n", "not in order")):
        (tmp_path / "wrong.txt").write_text(text)
        with pytest.raises(MotError, match=message):
            list(read_mot_frames(tmp_path / "wrong.txt", lines))


def test_columns_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        MotBoxes(np.ones(2), np.ones(1), np.ones((1, 4)), np.ones(1), np.ones(1), np.ones(1))


def test_between_keeps_frame_numbers() -> None:
    frames = np.arange(1, 6)
    boxes = MotBoxes(frames, frames, np.ones((5, 4)), frames, frames, frames)
    assert boxes.between(2, 4).frames.tolist() == [2, 3, 4]


def test_tracks_become_rows() -> None:
    one = np.ones(2)
    tracks = Tracks([0, 4], [[1, 2, 3.5, 5], [0, 0, 1, 1]], [0.5, 0.75], [1, 0], np.zeros((2, 3)), np.zeros((2, 2)),
                    one, one, one)  # fmt: skip
    rows = from_tracks(tracks, 9, np.array([1, 3]))
    assert rows.ids.tolist() == [1, 5]
    assert rows.frames.tolist() == [9, 9]
    assert rows.classes.tolist() == [3, 1]
    np.testing.assert_array_equal(rows.boxes[0], [1, 2, 3.5, 5])


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        (("Pedestrian", "car"), [1, 3]),
        (("vehicle", "pedestrian", "cyclist"), [3, 1, 16]),
        (("dog", "person", "cat"), [14, 1, 16]),
        (
            ("pedestrian", "rider", "car", "bus", "truck", "bicycle", "motorcycle", "train"),
            [1, 15, 3, 17, 18, 4, 5, 21],
        ),
    ],
)
def test_every_class_has_a_column_of_its_own(classes: tuple[str, ...], columns: list[int]) -> None:
    assert class_columns(OneShotConfig(classes=classes)).tolist() == columns


def test_columns_may_be_named() -> None:
    model = OneShotConfig(classes=("vehicle", "car", "cyclist"), columns=(3, 7, 4))
    assert class_columns(model).tolist() == [3, 7, 4]


@pytest.mark.parametrize("classes", [("car", "dog", "vehicle"), ("person", "Pedestrian"), ("dog", "car", "Car")])
def test_two_classes_in_one_column_are_refused(classes: tuple[str, ...]) -> None:
    with pytest.raises(MotError, match=r"^classes '.*' and '.*' are both \d in the class column.* `columns` beside"):
        class_columns(OneShotConfig(classes=classes))


@pytest.mark.parametrize("name", preset_files())
def test_tracks_of_every_preset_can_be_written(name: str) -> None:
    model = read_preset(name).model
    assert len(set(class_columns(model).tolist())) == len(model.classes)


def test_sequence_information_round_trip(tmp_path: Path) -> None:
    info = SequenceInfo("street", 12.5, 300, 1280, 720, "img1", ".png")
    write_seqinfo(tmp_path / "street", info)
    assert read_seqinfo(tmp_path / "street") == info


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no section \[Sequence\]"),
        ("frameRate=3\n", "cannot be read"),
        ("[Sequence]\nframeRate=fast\n", "frameRate is 'fast', expected a positive number"),
        ("[Sequence]\nframeRate=25\nseqLength=0\n", "seqLength is '0'"),
        ("[Sequence]\nframeRate=25\n", "seqLength is None"),
    ],
)
def test_broken_sequence_information(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "seqinfo.ini").write_text(text)
    with pytest.raises(MotError, match=message):
        read_seqinfo(tmp_path)
