"""LVIS' protocol for boxes: the official answers, and a tiny scene for each rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.cli import main
from qdtrack_model.evaluation.protocols import lvis

from .answers import differences

REFERENCE = Path(__file__).parents[3] / "reference" / "protocols" / "lvis"
RARE, COMMON, FREQUENT = 5, 6, 7

Row = dict[str, Any]


def row(image: int, left: float, kind: int = FREQUENT, width: float = 40, **more: float) -> Row:
    """A box of 40 x 40, or as wide as ``width``."""
    values = {"area": width * 40, "score": 0.5} | more
    return {"image_id": image, "category_id": kind, "bbox": [left, 0.0, width, 40.0], **values}


def write(folder: Path, objects: list[Row], results: list[Row], scopes: dict[int, Row] | None = None) -> None:
    lists: Row = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    truth = {
        "images": [{"id": image, **lists, **(scopes or {}).get(image, {})} for image in (1, 2)],
        "annotations": [{"id": number, **each} for number, each in enumerate(objects, start=1)],
        "categories": [{"id": RARE, "frequency": "r"}, {"id": COMMON, "frequency": "c", "merged": [{"id": RARE}]},
                       {"id": FREQUENT, "frequency": "f"}],
    }  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function of objects, results and what is known of the classes in images: the scores."""

    def run(objects: list[Row], results: list[Row], scopes: dict[int, Row] | None = None) -> dict[str, Any]:
        write(tmp_path, objects, results, scopes)
        scores = lvis.evaluate(tmp_path / "truth.json", tmp_path / "results.json").scores
        return {name: round(score, 9) if isinstance(score, float) else score for name, score in scores.items()}

    return run


def test_official_answers(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    where = ["--ground-truth", str(REFERENCE / "ground_truth.json"), "--results", str(REFERENCE / "results.json")]
    assert main(["evaluate", "--protocol", "lvis", *where, "--json", str(out)]) == 0
    expected = json.loads((REFERENCE / "expected.json").read_text())["scores"]
    assert list(differences(expected, json.loads(out.read_text())["scores"])) == []


def test_frequencies_and_nothing_to_find(score: Callable[..., Any]) -> None:
    found = score([row(1, 0), row(1, 100, COMMON)], [row(1, 0)])
    assert [found[name] for name in ("AP", "APr", "APc", "APf", "APm", "APl", "AR@300", "ARl@300")] == [
        0.5, -1, 0, 1, 0.5, -1, 0.5, -1,
    ]  # fmt: skip


def test_merged_is_not_known(score: Callable[..., Any]) -> None:
    assert score([row(1, 0, RARE)], [row(1, 0, COMMON)])["AP"] == 0


@pytest.mark.parametrize(("width", "at_50"), [(20, 1), (19.9, 0), (80, 1), (80.1, 0)])
def test_overlap_of_exactly_one_half(score: Callable[..., Any], width: float, at_50: int) -> None:
    assert score([row(1, 0)], [row(1, 0, width=width)])["AP50"] == at_50


def test_classes_that_are_judged_in_an_image(score: Callable[..., Any]) -> None:
    objects, right, wrong = [row(1, 0)], row(1, 0, score=0.4), row(2, 0, score=0.9)
    assert score(objects, [right, wrong])["AP"] == 1, "in image 2 nothing is known of this class"
    scopes: dict[int, Row] = {2: {"neg_category_ids": [FREQUENT]}}
    assert score(objects, [right, wrong], scopes)["AP"] == pytest.approx(0.5)
    scopes[2]["not_exhaustive_category_ids"] = [FREQUENT]
    assert score(objects, [right, wrong], scopes)["AP"] == 1
    assert score(objects, [right, row(1, 100, score=0.9)], {1: {"not_exhaustive_category_ids": [FREQUENT]}})["AP"] == 1


def test_area_is_the_annotation_s(score: Callable[..., Any]) -> None:
    found = score([row(1, 0, area=1000)], [row(1, 0)])
    assert (found["APs"], found["APm"]) == (1, -1)
    found = score([row(1, 0, area=32**2)], [row(1, 0)])
    assert (found["APs"], found["APm"], found["APl"]) == (1, 1, -1), "both ends are included"


def test_three_hundred_boxes_an_image(score: Callable[..., Any]) -> None:
    crowd = [row(1, 300, COMMON, score=0.9) for _ in range(300)]
    assert score([row(1, 0)], [*crowd[1:], row(1, 0)])["AP"] == 1
    assert score([row(1, 0)], [*crowd, row(1, 0)])["AP"] == 0


def test_no_results(score: Callable[..., Any]) -> None:
    assert score([row(1, 0)], [])["AP"] == score([row(1, 0)], [])["AR@300"] == 0


def test_damage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--ground-truth", str(tmp_path / "truth.json"), "--results", str(tmp_path / "results.json")]

    def said(old: str, new: str) -> str:
        write(tmp_path, [row(1, 0)], [row(1, 0)])
        path = tmp_path / "truth.json"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        assert main(["evaluate", "--protocol", "lvis", *where]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("qdtrack: error: ")
        assert printed.err.count("\n") == 1
        return printed.err

    assert "truth.json: category 5: frequency is 'x', expected r, c or f" in said(
        '"frequency": "r"', '"frequency": "x"'
    )
    assert "annotations[0].id: got 0, expected ids from 1" in said(
        '"annotations": [{"id": 1', '"annotations": [{"id": 0'
    )
    assert "annotations[0].image_id: got 1, expected the id of an image" in said(
        '"images": [{"id": 1', '"images": [{"id": 3'
    )
    assert "images[0]: neg_category_ids is missing" in said('"neg_category_ids": []', '"other": []')
