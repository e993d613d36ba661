"""The one-shot study: a few steps of everything, stopped and gone on with, and what its page makes of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.cli import main
from qdtrack_model.data.held_out import HeldOutSequence
from qdtrack_model.data.readers.mot import join
from qdtrack_model.data.sources import open_source
from qdtrack_model.study.report import CLAIMS, cell, conclusions, read_results, table
from qdtrack_model.study.runs import Job, jobs, last_frame
from qdtrack_model.study.ways import FULL, REDUCED, START, STILL_WAYS, WAYS, Terms, recipe


def result(idf1: float, control: float = 0.3, tpr: float = 0.5) -> dict[str, Any]:
    scores = {"idf1": idf1, "mota": 0.2, "motp": 0.8, "id_switches": 4, "mostly_tracked": 3, "mostly_lost": 1}
    tracking = {"fairmot": scores, "quasi_dense": scores, "control": {**scores, "idf1": control}}
    return {"tracking": tracking, "tpr": {"largest": tpr, "all": 1 - tpr}}


def write(folder: Path, way: str, *values: float, kind: str = "street", **more: float) -> None:
    chosen = next(w for w in (*WAYS, *STILL_WAYS) if w.name == way)
    for seed, value in enumerate(values):
        path = Job(chosen, kind, seed).path(folder, "json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result(value, **more)))


@pytest.mark.slow
def test_a_reduced_study_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["study", "one-shot", "--output", str(tmp_path / "study"), "--reduced", "--seeds", "0", "--device", "cpu"]
    assert main([*given, "--seconds", "1"]) == 0
    assert "the same command goes on" in capsys.readouterr().out
    begun = {p: p.stat().st_mtime_ns for p in (tmp_path / "study").rglob("*.json") if p.name != "settings.json"}
    assert main(given) == 0
    assert "everything" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == moment for path, moment in begun.items())
    page = (tmp_path / "study" / "study.md").read_text()
    assert all(f"| {way.title} |" in page for way in WAYS)
    assert "not run yet" not in page.partition("## ")[2]
    assert (tmp_path / "study" / "street.png").stat().st_size > 1000
    assert sum(p.stat().st_size for p in (tmp_path / "study").rglob("*") if p.is_file()) < 60e6
    assert main([*given, "--steps", "4"]) == 2
    assert "holds a study with other settings (steps); choose another --output" in capsys.readouterr().err


def test_every_published_row_is_a_way_and_all_have_one_budget() -> None:
    assert [way.name for way in WAYS if way.published] == [
        "baseline", "class_fr", "class_frdet", "euclidean_fr", "cosine_fr", "euclidean_frdet", "cosine_frdet",
    ]  # fmt: skip
    terms = Terms()
    for way in WAYS:
        steps = recipe(way, terms, "street", 0).steps
        before = 0 if way.frozen == "none" else recipe(START, terms, "street", 0).steps
        assert steps + before == terms.steps, way.name
        assert recipe(way, terms, "street", 0).batch == terms.batch
    assert FULL.steps > terms.steps
    assert not any(way.identities for way in STILL_WAYS)


def test_seeds_come_one_after_the_other() -> None:
    found = jobs(["street", "photos"], [0, 1])
    assert [job.seed for job in found] == sorted(job.seed for job in found)
    assert found[0].way is START
    assert START not in [job.way for job in found if job.kind == "photos"]


def test_a_table_has_all_rows_before_anything_is_run(tmp_path: Path) -> None:
    lines = table("street", read_results(tmp_path, ["street"], [0])).splitlines()
    assert len(lines) == 2 + len(WAYS) + 1
    assert lines[2].startswith("| baseline (identity classes) | - | - | - |")
    assert lines[2].endswith("| 39.5 | 245 | 29.5 | 82.8 |")


def test_verdicts_rest_on_the_seeds(tmp_path: Path) -> None:
    write(tmp_path, "baseline", 0.50, 0.52, control=0.40)
    write(tmp_path, "clmot", 0.49, 0.505, control=0.55)  # within two points of each other
    write(tmp_path, "triplet_all", 0.30, 0.32)
    write(tmp_path, "triplet_hard", 0.60)
    write(tmp_path, "class_frdet", 0.40, 0.41, tpr=0.6)
    write(tmp_path, "class_fr", 0.405, 0.39)
    text = conclusions("street", read_results(tmp_path, ["street"], [0, 1]))
    verdicts = dict(line.strip("| ").split(" | ") for line in text.splitlines()[2:])
    assert verdicts[CLAIMS[0].text].startswith("not decided, the seeds overlap: class_frdet 40.5 (40.0..41.0)")
    assert verdicts["class. fr.det. beats the baseline (IDF1)"].startswith("does not hold")
    assert verdicts[CLAIMS[6].text].startswith("holds")
    assert verdicts["... and hard (IDF1)"].startswith("not so in the one run")
    assert verdicts[CLAIMS[9].text] == "not run yet"
    assert verdicts["baseline (identity classes): IDF1 with embeddings less that without"].startswith("more: 11.0")
    assert verdicts["CL-MOT (NT-Xent): IDF1 with embeddings less that without"].startswith("less")
    assert verdicts["The ten largest people and all order the ways alike (TPR@FAR .1)"].startswith("no: 5 of 15")


def test_a_reduced_study_looks_at_what_is_held_out() -> None:
    nothing = join([])
    later = HeldOutSequence(lambda: open_source("plaza"), [(129, 171)], nothing, nothing.classes)
    assert last_frame(later, REDUCED) == 134, "six frames"
    assert last_frame(later, FULL) == 171


def test_cells() -> None:
    assert (cell([]), cell([2.0]), cell([1.0, 2.0])) == ("-", "2.0", "1.5 (1.0..2.0)")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--photos", "nowhere"], "--photos: what is learned from stills is tracked on clips"),
        (["--photos", "nowhere", "--clips", "somewhere"], "expected folders coco, coco_person, manaus in it"),
        (["--seeds", "1", "1"], "--seeds: got [1, 1], expected different numbers of 0 or more"),
    ],
)
def test_bad_arguments_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    given = ["study", "one-shot", "--output", str(tmp_path / "study"), "--reduced", "--device", "cpu"]
    assert main([*given, *more]) == 2
    assert message in capsys.readouterr().err
