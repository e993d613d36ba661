"""Tuning finds a setting that is wrong, says how sure it is, goes on where it stopped, and claims nothing by chance."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from qdtrack_model.cli import main
from qdtrack_model.config import QuasiDenseConfig, TrackerConfig
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay import tuning
from qdtrack_model.replay.lockstep import replay_bag, settings_of
from qdtrack_model.replay.run import Run, RunWriter
from qdtrack_model.replay.tuning import Fold, Tuned, TuningError, tune

Bags = Callable[..., Path]
FORGETFUL = QuasiDenseConfig(memory_span=0.5, backdrop_span=0.1)


@pytest.fixture
def run(squares_bag: Bags, pipeline: Pipeline, tmp_path: Path) -> Run:
    """Two bags in which a square is away for longer than the tracker remembers."""
    pipeline.tracker.configure(FORGETFUL)  # type: ignore[arg-type]
    writer = RunWriter(tmp_path / "run", settings_of(pipeline, "blobs"))
    for name, hidden in (("first", range(10, 18)), ("second", range(12, 21))):
        bag = Listed(str(squares_bag(name, frames=30, hidden=hidden)), name)
        replay_bag(bag, None, "auto", pipeline, writer, lambda name: None)
    writer.write()
    return Run.read(tmp_path / "run")


def test_a_memory_that_is_too_short_is_found(run: Run, tmp_path: Path) -> None:
    found = tune([run], tmp_path / "tuning", "idf1", trials=8)
    assert found.before < 95
    assert found.after > found.before + 5
    assert found.values["memory_span"] > 0.8
    assert all(fold.gain > 5 for fold in found.folds)
    assert found.sure


def test_it_goes_on_where_it_stopped_and_the_command_writes_parameters(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["tune", str(run.folder), "--output", str(tmp_path / "tuning"), "--metric", "idf1", "--trials"]
    assert main([*arguments, "3"]) == 0
    assert json.loads((tmp_path / "tuning" / "tuning.json").read_text())["trials"] == 3
    size = (tmp_path / "tuning" / "trials.log").stat().st_size
    assert main([*arguments, "12"]) == 0
    content = json.loads((tmp_path / "tuning" / "tuning.json").read_text())
    assert content["trials"] == 12
    assert (tmp_path / "tuning" / "trials.log").stat().st_size > size
    assert "IDF1 on bags left out" in capsys.readouterr().out
    written = yaml.safe_load((tmp_path / "tuning" / "tracker.yaml").read_text())["/**"]["ros__parameters"]
    assert written["weights"] == "blobs"
    assert written["tracker"] == content["values"]
    assert all(isinstance(value, float) for value in written["tracker"].values())
    assert content["sure"]
    page = (tmp_path / "tuning" / "tuning.html").read_text(encoding="utf-8")
    assert "Settings chosen on all bags" in page


def test_the_settings_as_they_were_are_tried_first_also_after_an_interruption(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = tuning.Judge.__call__

    def interrupted(self: tuning.Judge, sequences: Sequence[tuning.Scored], config: TrackerConfig) -> float:
        if len(sequences) == 2:
            raise KeyboardInterrupt
        return judge(self, sequences, config)

    monkeypatch.setattr(tuning.Judge, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune([run], tmp_path / "tuning", "idf1", trials=1)
    monkeypatch.undo()
    expected = tune([run], tmp_path / "other", "idf1", trials=1)
    assert tune([run], tmp_path / "tuning", "idf1", trials=1).before == expected.before


def test_other_trials_in_the_folder_are_refused(run: Run, tmp_path: Path) -> None:
    tune([run], tmp_path / "tuning", "idf1", trials=1)
    with pytest.raises(TuningError, match="other runs or another metric"):
        tune([run], tmp_path / "tuning", "hota", trials=1)


@pytest.mark.parametrize(
    ("gains", "sure"), [([2.0, 2.4, 1.9], True), ([3.0, -2.0, 1.0], False), ([0.0, 0.0], False), ([-1.0, -1.0], False)]
)
def test_it_is_never_better_by_less_than_the_spread(gains: list[float], sure: bool) -> None:
    folds = [Fold(str(place), 50.0, 50.0 + gain) for place, gain in enumerate(gains)]
    found = Tuned("hota", folds, 50.0, 60.0, {}, {}, [50.0, 60.0])
    assert found.sure is sure
    assert ("no better than by chance" in found.verdict()) is not sure


def test_runs_that_cannot_be_tuned_on(
    run: Run, squares_bag: Bags, replayed: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(TuningError, match="got 1 bags"):
        tune([replayed(squares_bag("alone", frames=3), "one")], tmp_path / "tuning")
    other = Run(run.folder, run.content, replace(run.settings, tracker=QuasiDenseConfig()))
    with pytest.raises(TuningError, match="different weights or settings"):
        tune([run, other], tmp_path / "tuning")


def test_bags_are_replayed_once_for_what_was_asked(
    squares_bag: Bags, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(Pipeline, "load", lambda *args, **kwargs: pipeline)
    bags = [str(squares_bag(name, frames=5)) for name in ("first", "second")]
    command = ["tune", *bags, "--output", str(tmp_path / "tuning"), "--trials", "1"]
    assert main([*command, "--ground-truth", "none"]) == 2
    assert "got 0 bags with ground truth" in capsys.readouterr().err
    assert main(command) == 0
    times = (tmp_path / "tuning" / "run" / "run.json").stat().st_mtime_ns
    assert main(command) == 0
    assert (tmp_path / "tuning" / "run" / "run.json").stat().st_mtime_ns == times, "the run is taken as it is"


def test_places_that_cannot_be_tuned_in_or_on(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["tune", str(run.folder), "--output", "memory://tuning"]) == 2
    assert "--output memory://tuning: expected a folder here" in capsys.readouterr().err
    assert main(["tune", str(run.folder), str(tmp_path / "first"), "--output", str(tmp_path / "tuning")]) == 2
    assert f"{tmp_path / 'first'}: is no run" in capsys.readouterr().err
    assert main(["tune", str(run.folder), "--output", str(tmp_path / "tuning"), "--live"]) == 2
    assert "--live: live runs keep no detections" in capsys.readouterr().err
