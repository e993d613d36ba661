"""TAO's protocol: the official answers, and a tiny scene for each rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.cli import main
from qdtrack_model.evaluation.protocols import tao

from .answers import differences

REFERENCE = Path(__file__).parents[3] / "reference" / "protocols" / "tao"
PERSON, BABY, CAR, DOG = 805, 95, 211, 7
FRAMES = 4  # of each of two videos: images 10 to 13 of video 1, 20 to 23 of video 2

Row = dict[str, Any]


def track(identity: int, left: float, kind: int = DOG, frames: str = "0123", video: int = 1, **more: Any) -> list[Row]:
    """Boxes of 40 x 40, or ``width`` x 40, in these frames."""
    box = [left, 0.0, more.get("width", 40.0), 40.0]
    return [
        {"image_id": 10 * video + int(frame), "video_id": video, "track_id": identity, "category_id": kind, "bbox": box,
         "area": more.get("area", box[2] * box[3]), "score": more.get("score", 0.5)}
        for frame in frames
    ]  # fmt: skip


def write(folder: Path, objects: list[Row], results: list[Row], **scope: list[int]) -> None:
    lists = {"neg_category_ids": [], "not_exhaustive_category_ids": []} | scope
    categories = [{"id": kind, "name": str(kind)} for kind in (CAR, DOG, PERSON, BABY)]
    truth = {
        "videos": [{"id": video, **lists} for video in (1, 2)],
        "images": [{"id": 10 * v + f, "video_id": v, "frame_index": f} for v in (1, 2) for f in range(FRAMES)],
        "tracks": [{"id": t, "category_id": k} for t, k in {r["track_id"]: r["category_id"] for r in objects}.items()],
        "annotations": [{"id": number, **row} for number, row in enumerate(objects, start=1)],
        "categories": [{**each, "merged": [{"id": BABY}]} if each["id"] == PERSON else each for each in categories],
    }  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function of objects, results and what is known of the classes: the scores at .5 and .75."""

    def run(objects: list[Row], results: list[Row], **scope: list[int]) -> dict[str, Any]:
        write(tmp_path, objects, results, **scope)
        scores = tao.evaluate(tmp_path / "truth.json", tmp_path / "results.json").scores["AP_50_75"]
        return {name: round(score, 9) if isinstance(score, float) else score for name, score in scores.items()}

    return run


def test_official_answers(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    where = ["--ground-truth", str(REFERENCE / "ground_truth.json"), "--results", str(REFERENCE / "results.json")]
    assert main(["evaluate", "--protocol", "tao", *where, "--json", str(out)]) == 0
    expected = json.loads((REFERENCE / "expected.json").read_text())["scores"]
    assert list(differences(expected, json.loads(out.read_text())["scores"])) == []


def test_perfect_results(score: Callable[..., Any]) -> None:
    both = track(1, 0) + track(2, 100, CAR)
    found = score(both, both)
    assert [found[name] for name in ("AP", "AP50", "AP75", "AP_C", "AP_O", "AR@300")] == [1] * 6
    assert (found["AP_P"], found["AP_area_large"], found["AP_area_medium"], found["AP_time_short"]) == (None, -1, 1, -1)


@pytest.mark.parametrize(
    ("frames", "width", "at_50"),
    [
        ("01", 40, 1), ("0", 40, 0), ("0123", 20, 1), ("0123", 19.9, 0),
    ],
)  # fmt: skip
def test_overlap_is_of_all_frames(score: Callable[..., Any], frames: str, width: float, at_50: int) -> None:
    """Where one of both has a box alone, its area counts in the union; exactly one half is a match."""
    assert score(track(1, 0), track(1, 0, frames=frames, width=width))["AP50"] == at_50
    assert score(track(1, 0, frames=frames, width=width), track(1, 0))["AP50"] == at_50


def test_classes_that_are_judged(score: Callable[..., Any]) -> None:
    """Those with objects in the video, and those known to be absent; results of others disappear."""
    objects = track(1, 0, CAR, video=2) + track(2, 0)
    right = track(1, 0, CAR, video=2, score=0.4) + track(2, 0)
    wrong = track(3, 200, CAR, score=0.9)
    assert score(objects, right + wrong)["AP_C"] == 1
    assert score(objects, right + wrong, neg_category_ids=[CAR])["AP_C"] == 0.5
    both = {"neg_category_ids": [CAR], "not_exhaustive_category_ids": [CAR]}
    assert score(objects, right + wrong, **both)["AP_C"] == 1
    assert score(objects, right + track(3, 200, 4711), neg_category_ids=[4711])["AP"] == 1, "an unknown class"


def test_right_results_count_where_objects_may_lack_annotations(score: Callable[..., Any]) -> None:
    found = score(
        track(1, 0) + track(2, 100), track(1, 0) + track(3, 200, score=0.9), not_exhaustive_category_ids=[DOG]
    )
    assert found["AP"] == pytest.approx(51 / 101)
    assert found["AR@300"] == 0.5


def test_merged_classes(score: Callable[..., Any]) -> None:
    found = score(track(1, 0, BABY) + track(2, 100, PERSON), track(1, 0, PERSON) + track(2, 100, BABY))
    assert (found["AP_P"], found["AP_O"]) == (1, None)


def test_score_is_the_mean_of_boxes(score: Callable[..., Any]) -> None:
    right = track(1, 0, frames="01", score=0.9) + track(1, 0, frames="23", score=0.1)
    assert score(track(1, 0), right + track(2, 200, score=0.51))["AP"] == 0.5
    assert score(track(1, 0), right + track(2, 200, score=0.49))["AP"] == 1


def test_best_object_is_taken_and_only_once(score: Callable[..., Any]) -> None:
    objects = track(1, 0) + track(2, 10)
    assert score(objects, track(1, 9))["AP50"] == pytest.approx(51 / 101)
    # The first takes object 2, the nearest; the other finds object 1 alone, at an overlap of 1/3 to it.
    assert score(objects, track(1, 9, score=0.9) + track(2, 20, score=0.8))["AR@300"] == 0.5
    assert score(track(1, 0), track(1, 1, score=0.9) + track(2, 0, score=0.8))["AP"] == 1, "greedy, by score"


def test_weakest_boxes_of_a_frame_go_first(score: Callable[..., Any]) -> None:
    crowd = [row for i in range(298) for row in track(10 + i, 200, CAR, "0")]
    two = track(1, 0, frames="01", score=0.4)
    assert score(track(1, 0, frames="01"), crowd + two)["AP75"] == 1
    more = crowd + [row for i in (1, 2) for row in track(900 + i, 200, CAR, "0")]
    assert score(track(1, 0, frames="01"), more + two)["AP50"] == 1, "one box of two remains"
    assert score(track(1, 0, frames="01"), more + two)["AP75"] == 0


def test_ranges_of_area_and_duration(score: Callable[..., Any]) -> None:
    """Objects outside are neither found nor missed; results that are outside themselves are not wrong."""
    objects = track(1, 0, area=1000, frames="012") + track(2, 100, area=32**2)
    found = score(objects, objects)
    assert (found["AP_area_small"], found["AP_area_medium"], found["AP_time_short"], found["AP_time_medium"]) == (
        1,
    ) * 4
    wrong = track(3, 300, score=0.9)  # of area 1600
    found = score(objects, objects + wrong)
    assert found["AP_area_small"] == 1
    assert found["AP_area_medium"] == 0.5
    assert score(objects[:3], objects[:3] + wrong)["AP_area_medium"] == -1


def test_no_results(tmp_path: Path) -> None:
    write(tmp_path, track(1, 0), [])
    report = tao.evaluate(tmp_path / "truth.json", tmp_path / "results.json")
    assert report.scores["AP_50_75"]["AP"] == report.scores["AP_50_75"]["AR@300"] == 0
    assert "no results" in report.warnings[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (track(0, 0), "results.json, [0].track_id: got 0, expected ids from 1"),
        (track(1, 0) + track(1, 0, video=2), "[4].track_id: got 1, expected a track of one video: it is in 1 and 2"),
        (track(1, 0, frames="01") + track(1, 0, CAR, frames="2"), "[2].category_id: got 211, expected 7, the class of"),
        (
            track(1, 0, frames="01") + track(1, 9, frames="1"),
            "[2].track_id: got 1, expected one box of a track in an im",
        ),
        ([{**track(1, 0)[0], "image_id": 77}], "[0].image_id: got 77, expected the id of an image of the ground truth"),
        ([{**track(1, 0)[0], "video_id": 2}], "[0].video_id: got 2, expected 1, the video of image 10"),
        ([{**track(1, 0)[0], "bbox": [1, 2, 3]}], "[0].bbox: got [1, 2, 3], expected x, y, width, height"),
        ([{**track(1, 0)[0], "score": None}], "[0]: score is missing"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[Row], message: str) -> None:
    write(tmp_path, track(1, 0), rows)
    where = ["--ground-truth", str(tmp_path / "truth.json"), "--results", str(tmp_path / "results.json")]
    assert main(["evaluate", "--protocol", "tao", *where]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("qdtrack: error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
