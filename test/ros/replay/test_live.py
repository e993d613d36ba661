"""Live replay over DDS with a network that is right by construction: every score is known, and lockstep agrees."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import PROGRAM, blob_pipeline, picture

from qdtrack_model.commands import LEFT_OUT
from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.data.bags import IMAGE_TOPIC, BagFrame, read_raw, write_bag, write_raw
from qdtrack_model.data.readers.mot import MotBoxes, read_mot
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.replay.lockstep import replay_bag, settings_of
from qdtrack_model.replay.run import Run, RunWriter, Settings
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Tracks
from qdtrack_ros.replay import __main__ as command
from qdtrack_ros.replay.__main__ import main
from qdtrack_ros.replay.live import NAMESPACE, Played, replay_live
from qdtrack_ros.replay.recorder import Received

FRAMES = 30
# Long queues: a busy machine must not change the scores.
PARAMETERS = {"weights": "blobs", "queue_size": 64} | {
    f"qos_overrides.{NAMESPACE}/{camera}image/compressed.subscription.depth": 64 for camera in ("", "front/", "rear/")
}


@pytest.fixture
def rectangles(tmp_path: Path) -> Path:
    """A bag: two rectangles for 30 frames, ground truth for the first 20."""

    def frames() -> Iterator[BagFrame]:
        for number in range(FRAMES):
            left = [40 + 4 * number, 100, 44, 84], [500 - 4 * number, 200, 44, 84]
            image = picture((*left[0], (40, 40, 250)), (*left[1], (40, 250, 40)))
            boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in left], float)
            ones = np.ones(2)
            yield BagFrame(image, MotBoxes(ones * number + 1, [1, 2], boxes, ones, ones, ones) if number < 20 else None)

    write_bag(tmp_path / "rectangles", frames(), 25.0)
    return tmp_path / "rectangles"


def blobs_settings(way: str = "live") -> Settings:
    return Settings(way, "blobs", "blobs on cpu", QuasiDenseConfig(), {1: "pedestrian"})


def test_scores_are_known_and_lockstep_agrees(rectangles: Path, tmp_path: Path) -> None:
    live, bag = RunWriter(tmp_path / "live", blobs_settings()), Listed(str(rectangles), "rectangles")
    [played] = replay_live(bag, None, "auto", PARAMETERS, live, PROGRAM, 0.5).values()
    live.write()
    assert len(played.received) == len(played.sent) == FRAMES
    assert np.isfinite(played.latencies).all()
    assert (played.latencies > 0).all()
    [told] = Run.read(tmp_path / "live").content["sequences"]
    scores = told["scores"]["all"]
    assert (scores["mota"], scores["idf1"], scores["id_switches"], scores["objects"]) == (1.0, 1.0, 0, 40)
    assert (told["frames"], told["left_out"], told["truth"]["frames"]) == (FRAMES, {"dropped": 0}, 20)

    pipeline = blob_pipeline("blobs", Options(), {})
    lockstep = RunWriter(tmp_path / "lockstep", settings_of(pipeline, "blobs"))
    replay_bag(bag, None, "auto", pipeline, lockstep, lambda name: None)
    lockstep.write()
    one, other = (read_mot(tmp_path / run / "rectangles" / "camera" / "tracks.txt") for run in ("live", "lockstep"))
    assert one.frames.tolist() == other.frames.tolist()
    assert one.ids.tolist() == other.ids.tolist()
    assert one.boxes == pytest.approx(other.boxes, abs=0.01)
    assert Run.read(tmp_path / "lockstep").content["total"] == Run.read(tmp_path / "live").content["total"]


def test_several_cameras_are_played_into_one_node(rectangles: Path, tmp_path: Path) -> None:
    topics = ("/front/image_raw/compressed", "/rear/image_raw/compressed")
    records = [record for record in read_raw(rectangles) if record[0] == IMAGE_TOPIC]
    write_raw(tmp_path / "two", ((topic, kind, time, data) for _, kind, time, data in records for topic in topics))
    run, bag = RunWriter(tmp_path / "run", blobs_settings()), Listed(str(tmp_path / "two"), "two")
    played = replay_live(bag, None, "none", PARAMETERS, run, PROGRAM, 0.5)
    run.write()
    assert [len(one.received) for one in played.values()] == [FRAMES, FRAMES]
    content = Run.read(tmp_path / "run").content
    assert [told["name"] for told in content["sequences"]] == ["two/front", "two/rear"]
    assert [told["tracks"]["all"]["tracks"] for told in content["sequences"]] == [2, 2]


@pytest.mark.parametrize(
    ("processing", "lost", "told"),
    [
        (0.02, 0, r"for 20 ms, and one comes every 40 ms: reserve x2\.0\.$"),
        (0.02, 3, r"reserve x2\.0\. Still 3 images were left out: other programs had the processor\.$"),
        (
            0.08,
            5,
            r"reserve x0\.5\. The newest image was always the next, 5 were left out\. For more of them end other ",
        ),
        (np.nan, 10, "did not tell"),
    ],
)
def test_the_reserve_is_told_and_what_to_do_without_one(processing: float, lost: int, told: str) -> None:
    sent = dict.fromkeys(range(0, 400_000_000, 40_000_000), 0.0)
    received = {stamp: Received(Tracks.empty(), 0.1) for stamp in list(sent)[: 10 - lost]}
    played = Played("/image", {stamp: place for place, stamp in enumerate(sent, 1)}, sent, received, processing)
    assert re.search(told, played.advice())
    assert np.isnan(played.latencies).sum() == lost


def test_a_node_that_dies_costs_its_bag_alone(
    rectangles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mortal = tmp_path / "mortal.py"
    mortal.write_text(f"""
import pathlib, runpy, sys
died = pathlib.Path(__file__).with_suffix(".died")
if not died.exists():
    died.touch()
    sys.exit("out of luck")
sys.path.insert(0, {str(Path(PROGRAM[0]).parent)!r})
runpy.run_path({PROGRAM[0]!r}, run_name="__main__")
""")
    first = shutil.copytree(rectangles, tmp_path / "first")
    bags, output = [str(first), str(rectangles)], tmp_path / "run"
    arguments = [*bags, "--output", str(output), "--no-pictures"]
    assert main(arguments, (str(mortal),)) == LEFT_OUT
    assert "qdtrack: warning: left out: the node ended" in capsys.readouterr().err
    content = Run.read(output).content
    assert [told["name"] for told in content["sequences"]] == ["rectangles/camera"]
    assert [told["bag"] for told in content["left_out"]] == [str(first)]
    assert "out of luck" in (output / "first" / "node.log").read_text()
    assert "out of luck" not in (output / "rectangles" / "node.log").read_text()


def test_an_interrupted_replay_goes_on(
    rectangles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shutil.copytree(rectangles, tmp_path / "first")
    arguments = [str(first), str(rectangles), "--output", str(tmp_path / "run"), "--no-pictures", "--rate", "2"]
    played: list[str] = []

    def playing(bag: Listed, *rest: Any) -> dict[str, Played]:
        played.append(bag.name)
        if played == ["first", "rectangles"]:
            raise KeyboardInterrupt
        return replay_live(bag, *rest)

    monkeypatch.setattr(command, "replay_live", playing)
    assert main(arguments, PROGRAM) == 130
    assert main(arguments, PROGRAM) == 0
    assert played == ["first", "rectangles", "rectangles"]
    assert "1 of 2 bags are done" in capsys.readouterr().out
    assert Run.read(tmp_path / "run").names == ["first/camera", "rectangles/camera"]


def test_a_bad_bag_is_left_out_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nowhere"), "--output", str(tmp_path / "run")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("qdtrack: warning: left out: ")
    assert errors[1].endswith("not one bag could be replayed")
