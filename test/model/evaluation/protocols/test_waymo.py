"""Waymo's camera boxes: the reference answers, and a tiny scene for each rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.cli import main
from qdtrack_model.evaluation.protocols import Report, waymo

from .answers import differences

REFERENCE = Path(__file__).parents[3] / "reference" / "protocols" / "waymo"
VEHICLE, PEDESTRIAN, SIGN, CYCLIST = 1, 2, 3, 4

Labels = list[dict[str, Any]]


def label(identity: str, left: float, kind: int = VEHICLE, width: float = 20) -> dict[str, Any]:
    """A box of 20 x 20, or as wide as ``width``."""
    box = {"center_x": left + width / 2, "center_y": 10.0, "length": width, "width": 20.0}
    return {"id": identity, "type": kind, "box": box}


def segment(name: str, *frames: dict[int, Labels]) -> dict[str, Any]:
    """A segment with the labels of each camera in each frame."""
    return {
        "context_name": name,
        "frames": [
            {
                "timestamp_micros": 100 * time,
                "camera_labels": [{"name": c, "labels": part} for c, part in frame.items()],
            }
            for time, frame in enumerate(frames)
        ],
    }


def write(folder: Path, truth: Labels, results: Labels) -> None:
    (folder / "truth.json").write_text(json.dumps({"segments": truth}))
    (folder / "results.json").write_text(json.dumps({"segments": results}))


def evaluate(folder: Path) -> Report:
    return waymo.evaluate(folder / "truth.json", folder / "results.json")


def command(folder: Path) -> int:
    where = ["--ground-truth", str(folder / "truth.json"), "--results", str(folder / "results.json")]
    return main(["evaluate", "--protocol", "waymo", *where])


def test_reference_answers(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    where = ["--ground-truth", str(REFERENCE / "ground_truth.json"), "--results", str(REFERENCE / "results.json")]
    assert main(["evaluate", "--protocol", "waymo", *where, "--json", str(out)]) == 0
    expected = json.loads((REFERENCE / "expected.json").read_text())
    del expected["tool"]
    assert list(differences(expected, json.loads(out.read_text()))) == []


@pytest.mark.parametrize(
    ("kind", "name", "width", "matches"),
    [
        (VEHICLE, "vehicle", 14, 1), (VEHICLE, "vehicle", 13.9, 0), (PEDESTRIAN, "pedestrian", 10, 1),
        (PEDESTRIAN, "pedestrian", 9.9, 0), (CYCLIST, "cyclist", 10, 1), (CYCLIST, "cyclist", 9.9, 0),
    ],
)  # fmt: skip
def test_least_overlap_of_each_class(tmp_path: Path, kind: int, name: str, width: float, matches: int) -> None:
    left = 1422.7 - 33.1
    write(tmp_path, [segment("a", {1: [label("x", left, kind)]})], [segment("a", {1: [label("y", left, kind, width)]})])
    assert evaluate(tmp_path).scores[name]["matches"] == matches


def test_signs_are_not_scored(tmp_path: Path) -> None:
    write(tmp_path, [segment("a", {1: [label("x", 0, SIGN)]})], [segment("a", {1: [label("y", 90, SIGN)]})])
    assert evaluate(tmp_path).scores["all"]["objects"] == evaluate(tmp_path).scores["all"]["FP"] == 0


def test_ids_live_in_one_camera_and_class(tmp_path: Path) -> None:
    truth = segment("a", {1: [label("x", 0)], 2: [label("x", 0)]}, {1: [label("x", 0)], 2: [label("x", 0)]})
    results = segment("a", {1: [label("5", 0)], 2: [label("6", 0)]}, {1: [label("5", 0)], 2: [label("5", 0)]})
    write(tmp_path, [truth], [results])
    report = evaluate(tmp_path)
    assert report.scores["vehicle"]["IDSw"] == 1
    assert {place: part["IDSw"] for place, part in report.more["by_segment_and_camera"]["vehicle"].items()} == {
        "a/1": 0, "a/2": 1,
    }  # fmt: skip


def test_frames_are_put_in_order_and_missing_ones_are_empty(tmp_path: Path) -> None:
    truth = segment("a", *[{1: [label("x", 0)], 2: []}] * 4)
    results = segment("a", *[{1: [label(i, 0)], 2: []} for i in "5557"])
    results["frames"] = [results["frames"][3], {"timestamp_micros": 100, "camera_labels": []}, results["frames"][0]]
    write(tmp_path, [truth], [results])
    vehicle = evaluate(tmp_path).scores["vehicle"]
    assert (vehicle["FN"], vehicle["IDSw"], vehicle["FM"]) == (2, 1, 1)


def test_all_is_the_mean_of_classes(tmp_path: Path) -> None:
    objects = [label("v", 0), label("w", 100), label("p", 200, PEDESTRIAN), label("c", 300, CYCLIST)]
    write(tmp_path, [segment("a", {1: objects})], [segment("a", {1: [objects[0], *objects[2:]]})])
    total = evaluate(tmp_path).scores["all"]
    assert total["MOTA"] == pytest.approx(2.5 / 3)
    assert (total["MOTA_from_counts"], total["objects"], total["FN"]) == (0.75, 4, 1)
    write(tmp_path, [segment("a", {1: objects[:2]})], [])
    report = evaluate(tmp_path)
    assert (report.scores["all"]["MOTA"], report.scores["cyclist"]["MOTA"]) == (None, None)
    assert "no results for segment a" in report.warnings[0]


def _edit(change: Callable[[Labels], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "results.json"
        content = json.loads(path.read_text())
        change(content["segments"])
        path.write_text(json.dumps(content))

    return damage


LABEL = "segments[0].frames[0].camera_labels[0]"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_edit(lambda s: s[0].update(context_name="z")), "results.json: segment z is not in the ground truth"),
        (_edit(lambda s: s[0]["frames"][0].update(timestamp_micros=7)), "frame 7 is not in the ground truth"),
        (_edit(lambda s: s[0]["frames"][0]["camera_labels"][0].update(name=5)), "camera 5 is not in the ground truth"),
        (_edit(lambda s: s[0]["frames"][0]["camera_labels"][0].update(name=6)), ".name: got 6, expected 1 to 5"),
        (_edit(lambda s: s.append(s[0])), "results.json, segments[1].context_name: a is there already"),
        (_edit(lambda s: s[0]["frames"].append(s[0]["frames"][0])), "frames[1].timestamp_micros: 0 is there already"),
        (_edit(lambda s: s[0]["frames"][0]["camera_labels"][0]["labels"][0].update(type=9)),
         f"{LABEL}.labels[0].type: got 9, expected one of 0 (unknown), 1 (vehicle)"),
        (_edit(lambda s: s[0]["frames"][0]["camera_labels"][0]["labels"][0]["box"].pop("width")),
         f"{LABEL}.labels[0].box: width is missing"),
        (lambda folder: (folder / "results.json").write_text("[]"), "results.json: got [], expected an object"),
    ],
)  # fmt: skip
def test_damage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], message: str
) -> None:
    same = [segment("a", {1: [label("x", 0)]})]
    write(tmp_path, same, same)
    damage(tmp_path)
    assert command(tmp_path) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("qdtrack: error: ")
    assert printed.err.count("\n") == 1
