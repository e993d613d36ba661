"""The demonstration from images to its report: with a network that is right by construction, every score is known."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import PROGRAM, picture

from qdtrack_model.checkpoints import SHIPPED
from qdtrack_model.data.readers.mot import MotBoxes, SequenceInfo, read_mot, write_mot, write_seqinfo
from qdtrack_model.structures import Tracks
from qdtrack_ros.demo import run as demo
from qdtrack_ros.demo.material import Material, material_from_scene, material_from_video
from qdtrack_ros.demo.recorder import Received
from qdtrack_ros.demo.results import DemoResults

FRAMES = 30
# Long queues: a busy machine must not change the scores.
QUEUES = demo.SETTINGS | {
    "queue_size": 64,
    f"qos_overrides.{demo.NAMESPACE}/image/compressed.subscription.depth": 64,
}


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


def test_known_scores_and_a_complete_report(rectangles: Path, tmp_path: Path) -> None:
    material = material_from_video(tmp_path / "bag", rectangles, None)
    results = demo.play_into_node(material, "blobs", tmp_path / "node.log", PROGRAM, QUEUES)
    table = dict(results.table())
    assert table["frames in"] == table["frames out"] == str(FRAMES)
    assert table["frames dropped"] == "0"
    assert (table["MOTA"], table["IDF1"], table["ID switches"]) == ("100.0", "100.0", "0")
    assert np.isfinite(results.latencies).all()
    assert (results.latencies > 0).all()
    assert results.reserve > 0
    assert results.scoring() == (
        "Scored on frames 1 to 20, in which 2 objects appear (matches at IoU .5 or more)."
    )  # fmt: skip

    demo.write_results(results, tmp_path)
    written = read_mot(tmp_path / "tracks.txt")
    assert len(written) == 2 * FRAMES
    assert set(written.ids.tolist()) == {1, 2}
    report = (tmp_path / "report.html").read_text()
    assert report.count("data:image/jpeg") == 6
    assert report.count("data:image/png") == 3
    assert not re.search(r'(src|href)="(?!data:)', report), "the report must not need other files"
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES


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
    sent = dict.fromkeys(range(10), 0.0)
    received = {stamp: Received(Tracks.empty(), 0.1) for stamp in range(10 - lost)}
    material = Material("", Path("bag"), 25.0, {stamp: stamp for stamp in sent}, None)
    results = DemoResults(material, "street", sent, received, (), None, Path("log"), processing)
    assert re.search(told, results.advice())
    assert dict(results.table())["frames dropped"] == str(lost)


def test_a_node_that_cannot_start_is_explained(rectangles: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--video", str(rectangles), "--frames", "3", "--weights", "nowhere", "--output", str(tmp_path / "out")]
    assert demo.main(arguments) == 2
    assert re.search(r"demo: error: the node could not configure:(.|\n)*weights 'nowhere'", capsys.readouterr().err)


def test_a_missing_video_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert demo.main(["--video", str(tmp_path / "no.mp4"), "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip() == f"demo: error: {tmp_path / 'no.mp4'}: no such file or folder"


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED.get("street", Path("-")).is_file(), reason="the weights 'street' are not there")
def test_street_weights_track_a_synthetic_scene(tmp_path: Path) -> None:
    material = material_from_scene(tmp_path / "bag", 75, seed=7)
    results = demo.play_into_node(material, "street", tmp_path / "node.log", settings=QUEUES)
    assert len(results.received) > 0.9 * len(results.sent), "hardly any image may be lost, even on a busy machine"
    assert results.scores is not None
    assert results.scores.mota > 0.75
    assert results.scores.idf1 > 0.75
