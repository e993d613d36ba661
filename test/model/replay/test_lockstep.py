"""Lockstep replay with real parts: the same bytes each time, the scores that are right by construction, bad bags."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from qdtrack_model.cli import main
from qdtrack_model.data import bags
from qdtrack_model.data.readers.mot import read_mot, write_mot
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.detections import read_detections
from qdtrack_model.replay.lockstep import camera_name, replay_bag, settings_of, track_again
from qdtrack_model.replay.run import Run, RunError, RunWriter
from qdtrack_model.replay.sequence import SequenceWriter
from qdtrack_model.replay.truth import TruthError

Bags, Replayed = Callable[..., Path], Callable[..., Run]


def files_of(run: Run) -> dict[str, bytes]:
    """All files of a run but those of time."""
    paths = [path for path in run.folder.rglob("*") if path.is_file() and path.name != "timing.csv"]
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_two_runs_are_the_same_bytes(squares_bag: Bags, replayed: Replayed, storage: str) -> None:
    bag = squares_bag(storage=storage, frames=8)
    first, second = files_of(replayed(bag, "first")), files_of(replayed(bag, "second"))
    assert first == second
    assert {"run.json", "squares/camera/tracks.txt", "squares/camera/detections.npz"} <= first.keys()


def test_nothing_of_an_older_run_stays_beside_a_new_one(squares_bag: Bags, replayed: Replayed) -> None:
    bag = squares_bag(frames=4)
    without = files_of(replayed(bag, "new", "none")).keys()
    older = replayed(bag, "old")
    (older.folder / "squares" / "camera" / "overlay.mp4").touch()
    assert files_of(replayed(bag, "old", "none")).keys() == without


def test_scores_that_are_right_by_construction(squares_bag: Bags, replayed: Replayed) -> None:
    run = replayed(squares_bag(hidden=range(10, 14)))
    [told] = run.content["sequences"]
    scores = told["scores"]["all"]
    assert told["scores"]["pedestrian"] == scores == run.content["total"]["all"]
    assert (scores["objects"], scores["false_negatives"], scores["false_positives"]) == (90, 4, 0)
    assert (scores["id_switches"], scores["fragmentations"], scores["idf1"]) == (
        0,
        1,
        pytest.approx(172 / 176, abs=1e-6),
    )
    assert told["tracks"]["all"] == {
        "tracks": 3, "boxes": 86, "median_seconds": 3.0, "fragments": 1, "reidentifications": 0, "flickers": 0,
        "flickers_per_minute": 0.0,
    }  # fmt: skip
    assert (told["frames"], told["seconds"], told["frame_rate"], told["size"]) == (30, 2.9, 10.0, [320, 192])


def test_cached_detections_give_the_same_tracks(squares_bag: Bags, replayed: Replayed, tmp_path: Path) -> None:
    run = replayed(squares_bag(hidden=range(10, 14)))
    again = RunWriter(tmp_path / "again", run.settings)
    track_again(run, run.settings.tracker, again, lambda name: None)
    again.write()
    tracks = Path("squares/camera/tracks.txt")
    assert (tmp_path / "again" / tracks).read_bytes() == (run.folder / tracks).read_bytes()
    assert Run.read(tmp_path / "again").content["total"] == run.content["total"]


def test_detections_of_many_blocks_come_back(squares_bag: Bags, replayed: Replayed) -> None:
    run = replayed(squares_bag(frames=300))
    frames = list(read_detections(run.folder / "squares" / "camera" / "detections.npz"))
    assert [frame.number for frame in frames] == list(range(1, 301))
    assert frames[299].time == pytest.approx(frames[0].time + 29.9, abs=1e-6)
    assert {len(frame.detections) for frame in frames[:50]} == {3}


def test_without_ground_truth_tracks_tell_of_themselves(squares_bag: Bags, replayed: Replayed) -> None:
    run = replayed(squares_bag(hidden=range(10, 12)), truth="none")
    [told] = run.content["sequences"]
    assert (told["truth"], told["scores"], run.content["total"]) == (None, {}, {})
    assert told["tracks"]["all"]["fragments"] == 1


def test_ground_truth_of_files_and_of_another_length(squares_bag: Bags, replayed: Replayed, tmp_path: Path) -> None:
    bag = squares_bag()
    truth = bags.read_ground_truth(bag)
    longer = truth[np.arange(len(truth))]
    longer.frames[:] += 20
    write_mot(tmp_path / "gt" / "squares" / "gt" / "gt.txt", truth.between(1, 20))
    [told] = replayed(bag, truth=str(tmp_path / "gt")).content["sequences"]
    assert (told["scores"]["all"]["objects"], told["scores"]["all"]["false_positives"]) == (60, 0)
    write_mot(tmp_path / "longer.txt", longer)
    [told] = replayed(bag, truth=str(tmp_path / "longer.txt")).content["sequences"]
    assert told["truth"]["left_out"] == {"boxes beyond the last image, 30": 60}
    assert told["scores"]["all"]["objects"] == 30
    for wrong in ("/nowhere", "nowhere", str(tmp_path)):
        with pytest.raises(TruthError, match="--ground-truth"):
            replayed(bag, truth=wrong)


def test_ground_truth_that_comes_late_is_put_in_order(squares_bag: Bags, replayed: Replayed, tmp_path: Path) -> None:
    bag = squares_bag(frames=6)
    records = list(bags.read_raw(bag))
    truth = [record for record in records if record[0] == bags.TRUTH_TOPIC]
    order = [*(record for record in records if record[0] != bags.TRUTH_TOPIC), *truth[3:], *truth[:3], truth[1]]
    bags.write_raw(
        tmp_path / "late", ((topic, kind, 10**9 + at, data) for at, (topic, kind, _, data) in enumerate(order))
    )
    found, expected = replayed(tmp_path / "late", "one"), replayed(bag, "two")
    files = [run.folder / name / "camera" / "truth.txt" for run, name in ((found, "late"), (expected, "squares"))]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert found.content["total"] == expected.content["total"]
    assert found.content["sequences"][0]["truth"]["left_out"] == {"messages without an image of their own": 1}


def stamped(bag: Path, target: Path, order: list[int]) -> Path:
    """A copy of the images of a bag in another order, recorded at even times."""
    records = [record for record in bags.read_raw(bag) if record[0] == bags.IMAGE_TOPIC]
    chosen = ((topic, kind, 10**9 + at * 10**8, records[place][3]) for at, place in enumerate(order)
              for topic, kind, _, _ in [records[place]])  # fmt: skip
    bags.write_raw(target, chosen)
    return target


def test_late_and_repeated_images_are_left_out_as_in_the_node(
    squares_bag: Bags, replayed: Replayed, tmp_path: Path
) -> None:
    bag = stamped(squares_bag(), tmp_path / "unsorted", [0, 1, 1, 3, 2, 4, 5])
    [told] = replayed(bag).content["sequences"]
    assert told["left_out"] == {"undecodable": 0, "repeated": 1, "late": 1}
    assert told["frames"] == 5
    assert set(read_mot(tmp_path / "run" / "unsorted" / "camera" / "tracks.txt").frames.tolist()) == {1, 2, 4, 6, 7}


def test_every_camera_of_a_bag_is_a_sequence(squares_bag: Bags, replayed: Replayed, tmp_path: Path) -> None:
    names = ("/front/image_raw/compressed", "/rear/left/image_raw/compressed")
    records = [record for record in bags.read_raw(squares_bag(frames=5)) if record[0] == bags.IMAGE_TOPIC]
    bags.write_raw(tmp_path / "two", ((name, kind, time, data) for _, kind, time, data in records for name in names))
    run = replayed(tmp_path / "two")
    assert run.names == ["two/front", "two/rear_left"]
    assert [told["tracks"]["all"]["tracks"] for told in run.content["sequences"]] == [3, 3]


def test_a_bag_split_into_files_is_one_bag(squares_bag: Bags, replayed: Replayed, tmp_path: Path) -> None:
    whole = squares_bag("whole", frames=9)
    records = list(bags.read_raw(whole))
    (split := tmp_path / "split").mkdir()
    parts = []
    for number, place in enumerate((slice(0, 10), slice(10, None))):
        bags.write_raw(part := tmp_path / f"split_{number}", records[place])
        parts.append(yaml.safe_load((part / "metadata.yaml").read_text())["rosbag2_bagfile_information"])
        (part / f"split_{number}.mcap").rename(split / f"split_{number}.mcap")
    merged = {
        **parts[0],
        "relative_file_paths": [name for part in parts for name in part["relative_file_paths"]],
        "files": [file for part in parts for file in part["files"]],
        "message_count": len(records),
    }
    (split / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": merged}))
    one, other = replayed(split, "of-split"), replayed(whole, "of-whole")
    assert one.content["total"] == other.content["total"]
    assert one.content["sequences"][0]["frames"] == 9
    tracks = [run.folder / run.names[0] / "tracks.txt" for run in (one, other)]
    assert tracks[0].read_bytes() == tracks[1].read_bytes()


def test_names_of_cameras() -> None:
    topics = ("/camera/image/compressed", "/front/left/image_raw", "/image", "/video")
    assert [camera_name(topic) for topic in topics] == ["camera", "front_left", "image", "video"]


def broken(kind: str, bag: Path) -> None:
    """Break a bag."""
    [file] = bag.glob("*.mcap")
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-2000])
    elif kind == "corrupted":
        data = bytearray(file.read_bytes())
        data[len(data) // 3 : len(data) // 3 + 4000] = bytes(4000)
        file.write_bytes(data)
    elif kind == "being written":
        (bag / "metadata.yaml").unlink()
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "other types":
        shutil.rmtree(bag)
        bags.write_raw(bag, [("/words", "std_msgs/msg/String", 1, b"\0\1\0\0\2\0\0\0a\0")])


@pytest.mark.parametrize("kind", ["truncated", "corrupted", "being written", "empty", "other types"])
def test_a_bad_bag_is_one_clear_error(squares_bag: Bags, replayed: Replayed, kind: str) -> None:
    bag = squares_bag()
    broken(kind, bag)
    with pytest.raises(bags.BagError, match=str(bag)) as raised:
        replayed(bag)
    assert "\n" not in str(raised.value)


def test_bags_that_are_done_keep_their_results(
    squares_bag: Bags,
    pipeline: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    good, bad = squares_bag("good", frames=5), squares_bag("bad", frames=5)
    broken("truncated", bad)
    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    assert main(["replay", str(bad), str(good), "--output", str(tmp_path / "run")]) == 1
    content = Run.read(tmp_path / "run").content
    assert [told["name"] for told in content["sequences"]] == ["good/camera"]
    assert [told["bag"] for told in content["left_out"]] == [str(bad)]
    output = capsys.readouterr()
    assert "warning: left out" in output.err
    assert "good/camera" in output.out
    assert main(["replay", str(bad), "--output", str(tmp_path / "none")]) == 2
    shutil.rmtree(good)
    assert (
        main(["replay", str(tmp_path / "run"), "--output", str(tmp_path / "again"), "--tracker", "init_score=0.99"])
        == 0
    )
    again = Run.read(tmp_path / "again").content
    assert again["sequences"][0]["tracks"]["all"]["tracks"] == 0
    assert again["left_out"] == content["left_out"]
    assert f"warning: no pictures: {good}: no such file or folder" in capsys.readouterr().err


def test_a_full_disk_is_one_error_and_what_is_done_stays(
    squares_bag: Bags,
    pipeline: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    write = SequenceWriter.write

    def full(self: SequenceWriter, number: int, *rest: object) -> None:
        if "second" in self._tracks.name and number == 3:
            raise OSError(errno.ENOSPC, "No space left on device", self._tracks.name)
        write(self, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(SequenceWriter, "write", full)
    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    paths = [str(squares_bag(name, frames=4)) for name in ("first", "second")]
    assert main(["replay", *paths, "--output", str(tmp_path / "run")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert Run.read(tmp_path / "run").names == ["first/camera"]


def test_topics_that_are_no_camera_are_left_out(squares_bag: Bags, replayed: Replayed, tmp_path: Path) -> None:
    records = list(bags.read_raw(squares_bag(frames=3)))
    kind = "sensor_msgs/msg/CompressedImage"
    depth = [
        ("/depth/image_raw", kind, time, data[:80] + bytes(len(data) - 80)) for _, k, time, data in records if k == kind
    ]
    bags.write_raw(tmp_path / "depth", [*records, *depth])
    run = replayed(tmp_path / "depth")
    assert run.names == ["depth/camera"]
    assert len(run.content["left_out"]) == 1


def test_a_place_that_is_no_run_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="is no run"):
        RunWriter(tmp_path, settings_of(pipeline, "blobs"))


DREAMT = '{"format": 1, "way": "dreamt", "weights": "", "runtime": "", "tracker": {}, "classes": {}, "sequences": []}'


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 7}', '{"format": 1}', DREAMT])
def test_a_broken_run_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json"):
        Run.read(tmp_path)


def test_a_topic_that_is_not_there_is_told(squares_bag: Bags, pipeline: Pipeline, tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run", settings_of(pipeline, "blobs"))
    with pytest.raises(bags.BagError, match=r"no images on /rear; topics of images: /camera/image/compressed"):
        replay_bag(Listed(str(squares_bag(frames=2)), "bag"), ["/rear"], "auto", pipeline, run, lambda name: None)
