"""The demonstration: bags of scenes and videos, and errors that are one line. What it plays and how it is scored is
tested in test/ros/replay/test_live.py."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import picture

from qdtrack_model.checkpoints import SHIPPED
from qdtrack_model.data.bags import read_ground_truth, read_images
from qdtrack_model.data.readers.mot import MotBoxes, SequenceInfo, write_mot, write_seqinfo
from qdtrack_model.replay.run import Run
from qdtrack_ros.demo import run as demo
from qdtrack_ros.demo.material import bag_of_video

FRAMES = 30


@pytest.fixture
def rectangles(tmp_path: Path) -> Path:
    """A sequence folder: two rectangles for 30 frames, ground truth for the first 20."""
    folder = tmp_path / "rectangles"
    (folder / "img1").mkdir(parents=True)
    rows = []
    for number in range(FRAMES):
        left = [40 + 4 * number, 100, 44, 84], [500 - 4 * number, 200, 44, 84]
        image = picture((*left[0], (40, 40, 250)), (*left[1], (40, 250, 40)))
        cv2.imwrite(str(folder / "img1" / f"{number + 1:06d}.png"), image)
        rows += [(number + 1, one + 1, x, y, x + w, y + h) for one, (x, y, w, h) in enumerate(left) if number < 20]
    table = np.array(rows, float)
    ones = np.ones(len(table))
    write_mot(folder / "gt" / "gt.txt", MotBoxes(table[:, 0], table[:, 1], table[:, 2:], ones, ones, ones))
    write_seqinfo(folder, SequenceInfo("rectangles", 25.0, FRAMES, 640, 360, image_extension=".png"))
    return folder


def test_a_video_becomes_a_bag_with_the_ground_truth_beside_it(rectangles: Path, tmp_path: Path) -> None:
    bag_of_video(tmp_path / "bag", rectangles, None)
    times = [time for _, time, _ in read_images(tmp_path / "bag")]
    assert len(times) == FRAMES
    assert np.diff(times) == pytest.approx(0.04, abs=1e-6)
    truth = read_ground_truth(tmp_path / "bag")
    assert (len(truth), truth.frames.max(), set(truth.ids.tolist())) == (40, 20, {1, 2})
    bag_of_video(tmp_path / "bag", rectangles, 5)
    assert len(list(read_images(tmp_path / "bag"))) == 5


def test_weights_that_are_nowhere_are_one_line(rectangles: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--video", str(rectangles), "--frames", "3", "--weights", "nowhere", "--output", str(tmp_path / "out")]
    assert demo.main(arguments) == 2
    assert re.match(r"demo: error: .*nowhere", capsys.readouterr().err)


def test_a_missing_video_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert demo.main(["--video", str(tmp_path / "no.mp4"), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip() == f"demo: error: {tmp_path / 'no.mp4'}: no such file or folder"


@pytest.mark.parametrize(("others", "stays"), [([], False), (["thesis.tex"], True), (["run.json"], True)])
def test_only_what_a_demonstration_of_before_left_is_removed(tmp_path: Path, others: list[str], stays: bool) -> None:
    for name in ["bag/bag_0.mcap", "node.log", "report.html", *others]:
        (tmp_path / "demo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "demo" / name).touch()
    demo.make_room(tmp_path / "demo")
    assert (tmp_path / "demo").exists() == stays
    demo.make_room(tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED.get("street", Path("-")).is_file(), reason="the weights 'street' are not there")
def test_street_weights_track_a_synthetic_scene(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert demo.main(["--frames", "50", "--seed", "7", "--output", str(tmp_path / "demo")]) == 0
    [told] = Run.read(tmp_path / "demo").content["sequences"]
    tracked = 1 - told["left_out"]["dropped"] / 50  # a busy machine loses some, and what they show counts as missed
    assert tracked > 0.2
    assert told["scores"]["all"]["mota"] > 0.7 * tracked
    assert "reserve" in capsys.readouterr().out
    report = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert 'src="bag/camera/overlay.mp4"' in report
