"""The one-shot study: a few steps of everything, stopped and gone on with, and what its page makes of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.data.held_out import HeldOutSequence
from qdtrack_model.data.loading import load_sets
from qdtrack_model.data.readers.mot import join
from qdtrack_model.data.sources import open_source
from qdtrack_model.networks import build
from qdtrack_model.study.claims import CLAIMS, cell, verdicts
from qdtrack_model.study.report import conclusions, read_results, table
from qdtrack_model.study.runs import Data, Job, Study, jobs, last_frame, take_detector
from qdtrack_model.study.ways import FULL, REDUCED, START, STILL_WAYS, WAYS, Terms, recipe, ways_of
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.writer import write_sequence


def result(idf1: float, control: float = 0.3, tpr: float = 0.5) -> dict[str, Any]:
    scores = {"idf1": idf1, "mota": 0.2, "motp": 0.8, "id_switches": 4, "mostly_tracked": 3, "mostly_lost": 1}
    tracking = {"fairmot": scores, "quasi_dense": scores, "control": {**scores, "idf1": control}}
    return {"tracking": tracking, "tpr": {"largest": tpr, "all": 1 - tpr}}


def write(folder: Path, way: str, *values: float, kind: str = "street", **more: float) -> None:
    chosen = next(w for w in (START, *WAYS, *STILL_WAYS) if w.name == way)
    for seed, value in enumerate(values):
        path = Job(chosen, kind, seed).path(folder, "json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result(value, **more)))


@pytest.mark.slow
def test_a_reduced_study_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
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
    assert (tmp_path / "study" / "images" / "study-street.png").stat().st_size > 1000
    start = json.loads((tmp_path / "study" / "street" / "0" / "start.json").read_text())
    frozen = json.loads((tmp_path / "study" / "street" / "0" / "cosine_frdet.json").read_text())
    assert frozen["tracking"]["control"] == start["tracking"]["control"], "a frozen detector finds the start's boxes"
    assert frozen["tpr"] != start["tpr"]
    assert main([*given, "--steps", "4"]) == 2
    assert "holds a study with other settings (steps); choose another --output" in capsys.readouterr().err


def test_every_published_row_is_a_way_and_all_have_one_budget() -> None:
    assert [way.name for way in WAYS if way.published] == [
        "baseline", "class_fr", "class_frdet", "euclidean_fr", "cosine_fr", "euclidean_frdet", "cosine_frdet",
    ]  # fmt: skip
    terms = Terms()
    for kind, size in (("street", terms.crop_size), ("plaza", terms.crop_size), ("photos", terms.still_size)):
        learned = [recipe(way, terms, kind, 0) for way in ways_of(kind)]
        assert {(r.steps, r.batch, r.places, r.learning_rate, r.pairs.crop_size) for r in learned} == {
            (terms.steps, terms.batch, terms.places, 2e-4, size)
        }
    assert recipe(START, terms, "street", 0).embedding_weight == 0
    assert FULL.steps * FULL.batch > terms.steps * terms.batch
    assert not any(way.identities for way in STILL_WAYS)


@pytest.mark.parametrize("kind", ["street", "plaza"])
def test_crops_are_learned_at_about_the_scale_that_is_tracked(kind: str, tmp_path: Path) -> None:
    """Images larger than the network's input are scaled to fit when they are read: crops are not scaled so again."""
    scene = SceneConfig(seed=1, frames=2)  # 1280x720
    write_sequence(Scene(scene), tmp_path / "large", None)
    config = recipe(WAYS[0], Terms(), kind, 0)
    [large] = load_sets([tmp_path / "large"], config.model, config.data)
    read = large.samples[0].read().image.shape[1] / 1280
    low, high = config.pairs.scale_range
    assert read * low < config.model.input_size[1] / 1280 < read * high


@pytest.mark.parametrize("terms", [Terms(), FULL])
def test_crops_of_stills_hold_people_of_two_thirds_of_an_image(terms: Terms) -> None:
    assert terms.still_size[0] >= 2 / 3 * terms.model.input_size[0]


def test_seeds_come_one_after_the_other() -> None:
    found = jobs(["street", "photos"], [0, 1])
    assert [job.seed for job in found] == sorted(job.seed for job in found)
    starts = [place for place, job in enumerate(found) if job.way is START]
    assert [found[place].kind for place in starts] == ["street", "photos"]
    assert all(found.index(job) >= starts[("street", "photos").index(job.kind)] for job in found)
    assert [job.seed for job in jobs(["street"], [5])] == [0] + [5] * len(WAYS), "the start is one for all seeds"


def test_a_table_has_all_rows_before_anything_is_run(tmp_path: Path) -> None:
    lines = table("street", read_results(tmp_path, ["street"], [0])["street"]).splitlines()
    assert len(lines) == 2 + len(WAYS) + 2
    assert {line.count("|") for line in lines} == {14}
    assert lines[2].startswith("| baseline (identity classes) | - | - | - |")
    assert lines[2].endswith("| 39.5 | 245 | 29.5 | 82.8 |")


def test_verdicts_rest_on_the_seeds(tmp_path: Path) -> None:
    write(tmp_path, "start", 0.35, control=0.3)
    write(tmp_path, "baseline", 0.50, 0.52, control=0.40)
    write(tmp_path, "clmot", 0.49, 0.51, control=0.55)  # within two points of each other
    write(tmp_path, "triplet_all", 0.30, 0.32)
    write(tmp_path, "triplet_hard", 0.60)
    write(tmp_path, "class_frdet", 0.40, 0.41, tpr=0.6)
    write(tmp_path, "class_fr", 0.405, 0.39)
    results = read_results(tmp_path, ["street", "plaza"], [0, 1])
    found = verdicts("street", results["street"])
    assert found[CLAIMS[0].text] == "undecided, the seeds overlap: 40.5 (40.0..41.0) against 39.8 (39.0..40.5)"
    assert found["class. fr.det. beats the baseline"].startswith("no: 40.5")
    assert found["... and tells people apart better (TPR@.1, ten largest)"].startswith("yes: 60.0")
    assert found["CL-MOT's contrastive loss beats triplets, all"].startswith("yes: 50.0")
    assert found["... and hard"] == "not more in the one run: 50.0 (49.0..51.0) against 60.0"
    assert found["QDTrack's loss beats the baseline on the same network"] == "not run yet"
    helped = found["Embeddings help: IDF1 above that without them, in every seed"]
    assert helped == "with 4 of 6 ways: triplet, hard +30.0; CL-MOT (NT-Xent) -5.0"
    assert found["... also those that nothing was trained for"] == "yes: +5.0"
    beyond = found["... and TPR@.1 of all people"]
    assert beyond == "with 0 of 6 ways: triplet, hard 50.0; class. fr.det. 40.0; the start 50.0"
    assert found["The ten largest people order the ways as all people do (TPR@.1)"].startswith(
        "no: 5 of the 5 pairs of ways (of 15) whose"
    )
    lines = conclusions(results).splitlines()
    assert lines[0] == "| conclusion (IDF1 where nothing else is said) | street | plaza |"
    assert lines[2].endswith(" | not run yet |")
    assert "CL-MOT, without identities, is at most 2 points below the baseline" not in verdicts("photos", {})


def test_ways_begin_with_a_detector_of_their_classes_and_a_head_of_their_own() -> None:
    given, network = checkpoints.load("street").network(), build(Terms().model)
    head = network.state_dict()["embedding.weight"].clone()
    take_detector(network, ("pedestrian",), "street")
    assert torch.equal(network.state_dict()["heat.weight"], given.state_dict()["heat.weight"][:1])  # pedestrians
    for name in ("backbone.stem.0.weight", "box.weight", "neck.merge.0.merge.1.running_var"):
        assert torch.equal(network.state_dict()[name], given.state_dict()[name]), name
    assert torch.equal(network.state_dict()["embedding.weight"], head)


def test_a_reduced_study_looks_at_what_is_held_out() -> None:
    nothing = join([])
    later = HeldOutSequence(lambda: open_source("plaza"), [(129, 171)], nothing, nothing.classes)
    assert last_frame(later, REDUCED) == 134, "six frames"
    assert last_frame(later, FULL) == 171


def test_the_state_of_a_full_study_is_small() -> None:
    weights = 4 * sum(p.numel() for p in build(FULL.model).state_dict().values())
    training = 4 * weights  # the network, its average and the two moments of its optimizer
    assert len(["street", "plaza", "photos"]) * weights + weights + training < 60e6


def test_ways_whose_seeds_overlap_have_no_order(tmp_path: Path) -> None:
    for way in ("class_fr", "class_frdet"):
        write(tmp_path, way, 0.3, tpr=0.5)
    found = verdicts("street", read_results(tmp_path, ["street"], [0])["street"])
    assert found["The ten largest people order the ways as all people do (TPR@.1)"].startswith(
        "undecided, the seeds of"
    )


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    """Two short sequences."""
    for seed in (1, 2):
        write_sequence(
            Scene(SceneConfig(seed, 8, 12.5, (128, 64), pedestrians=4)), tmp_path / "scenes" / str(seed), None
        )
    return [tmp_path / "scenes" / "1", tmp_path / "scenes" / "2"]


def check(folder: Path, learned: Path, tracked: Path, kind: str = "street") -> None:
    folder.mkdir(exist_ok=True)
    data = Data({kind: [learned]}, {kind: [tracked]})
    Study(folder, REDUCED, data, torch.device("cpu")).check([kind])


def test_a_study_keeps_to_the_weights_that_it_began_with(tmp_path: Path, clips: list[Path]) -> None:
    study = tmp_path / "study"
    check(study, *clips)
    check(study, *clips)
    path = study / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "start": "other weights of that name"}))
    with pytest.raises(ValueError, match=r"holds a study with other settings \(start\); choose another --output"):
        check(study, *clips)


def test_a_study_keeps_to_the_data_that_it_began_with(tmp_path: Path, clips: list[Path]) -> None:
    study, (first, second) = tmp_path / "study", clips
    check(study, first, second)
    for learned, tracked, message in ((first, first, "tracked of street"), (second, second, "data of street")):
        with pytest.raises(ValueError, match=rf"\({message}\)"):
            check(study, learned, tracked)
    (first / "gt" / "gt.txt").write_text("\n".join((second / "gt" / "gt.txt").read_text().splitlines()))
    with pytest.raises(ValueError, match=r"\(data of street\)"):
        check(study, first, second)  # a folder of the same name


def test_nobody_to_track_is_told_before_anything_is_learned(tmp_path: Path, clips: list[Path]) -> None:
    truth = clips[1] / "gt" / "gt.txt"
    late = [line for line in truth.read_text().splitlines() if int(line.split(",")[0]) > REDUCED.tracked]
    truth.write_text("\n".join(late))
    with pytest.raises(ValueError, match="2: nobody to be tracked up to frame 6"):
        check(tmp_path / "study", *clips)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"terms": 1, "data": {}, "tracked": {}, "start": null}'])
def test_broken_settings_are_one_error(content: str, tmp_path: Path, clips: list[Path]) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "settings.json").write_text(content)
    with pytest.raises(ValueError, match=r"settings.json: broken"):
        check(tmp_path / "study", *clips)


def test_cells() -> None:
    assert (cell([]), cell([2.0]), cell([1.0, 2.0])) == ("-", "2.0", "1.5 (1.0..2.0)")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--photos", "nowhere"], "what is learned from stills is tracked on clips: give both or neither"),
        (["--clips", "somewhere"], "what is learned from stills is tracked on clips: give both or neither"),
        (["--photos", "nowhere", "--clips", "somewhere"], "expected folders coco, coco_person, manaus in it"),
        (["--plaza", "nowhere"], "qdtrack: error: nowhere: no such folder or file"),
        (["--seeds", "1", "1"], "--seeds: got [1, 1], expected different numbers of 0 or more"),
    ],
)
def test_bad_arguments_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    given = ["study", "one-shot", "--output", str(tmp_path / "study"), "--reduced", "--device", "cpu"]
    assert main([*given, *more]) == 2
    assert message in capsys.readouterr().err
