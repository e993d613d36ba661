"""The log of a training: no row is lost or double, whenever the training was interrupted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from qdtrack_model.training.log import Log, tensorboard_folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(path: Path, first: int, *steps: int) -> Path:
    log = Log(path, first)
    for step in steps:
        log.write(step, {"loss/heat": step / 8})
    log.close()
    return path


def test_a_new_name_becomes_a_column_of_all_rows(tmp_path: Path) -> None:
    log = Log(tmp_path / "out" / "log.csv", 0)
    log.write(0, {"validation/score": 0.25})
    log.write(20, {"learning_rate": 0.001, "loss/heat": 1.23456789})
    log.write(40, {"learning_rate": 0.002, "loss/heat": 1.0, "validation/score": 0.5})
    log.close()
    assert (tmp_path / "out" / "log.csv").read_text().splitlines() == [
        "step,validation/score,learning_rate,loss/heat",
        "0,0.25,,",
        "20,,0.001,1.23457",
        "40,0.5,0.002,1",
    ]


def test_steps_that_are_done_again_have_one_row(tmp_path: Path) -> None:
    path = written(tmp_path / "log.csv", 0, 20, 40, 60)
    written(path, 40, 60, 80)
    assert [(row["step"], row["loss/heat"]) for row in rows(path)] == [
        ("20", "2.5"), ("40", "5"), ("60", "7.5"), ("80", "10"),
    ]  # fmt: skip
    assert [row["step"] for row in rows(written(path, 0, 20))] == ["20"], "a training that begins has a new log"


def test_going_on_without_a_log_begins_one(tmp_path: Path) -> None:
    assert [row["step"] for row in rows(written(tmp_path / "log.csv", 40, 60))] == ["60"]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "step,x\nmany,2\n", "step\n-1\n"])
def test_another_file_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=r"log\.csv: not the log of a training"):
        Log(tmp_path / "log.csv", 20)
    assert (tmp_path / "log.csv").read_text() == text


def test_tensorboard_shows_each_step_once(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = written(tmp_path / "log.csv", 0, 20, 40, 60)
    written(path, 40, 60, 80)
    folder = tensorboard_folder(path)
    assert folder == tmp_path / "log.tensorboard"
    shown = accumulator.EventAccumulator(str(folder)).Reload().Scalars("loss/heat")
    assert [(event.step, event.value) for event in shown] == [(20, 2.5), (40, 5), (60, 7.5), (80, 10)]


def test_without_tensorboard_there_is_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert tensorboard_folder(tmp_path / "log.csv") is None
    written(tmp_path / "log.csv", 0, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
