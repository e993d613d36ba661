"""Validation while a network learns: when, what is kept, and that an interruption loses and doubles nothing."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.config import OneShotConfig
from qdtrack_model.data.pairs import PairConfig
from qdtrack_model.data.samples import SampleSet
from qdtrack_model.networks import OneShotNetwork
from qdtrack_model.training import loop, one_shot
from qdtrack_model.training.config import OneShotTraining
from qdtrack_model.training.loop import Validation, train
from qdtrack_model.training.schedule import make_schedule
from qdtrack_model.training.state import ResumeError

from .scene import moving_blocks, write_folder

MODEL = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, max_detections=20, embedding_size=16)
CONFIG = OneShotTraining(
    model=MODEL, steps=10, batch=1, pairs=PairConfig((64, 64), reference_range=2), warm_up=2, places=32
)
SCORES = {0: 0.1, 4: 0.5, 8: 0.3, 10: 0.4}  # by step


class Judge:
    """Gives each step its score and keeps what a real one would; may be interrupted."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.steps: list[int] = []
        self.kept: list[int] = []
        self._interrupt_at = interrupt_at

    def __call__(self, network: torch.nn.Module, step: int, best: float) -> tuple[float, dict[str, float]]:
        assert not network.training
        if step == self._interrupt_at:
            raise KeyboardInterrupt
        self.steps.append(step)
        if SCORES[step] > best:
            self.kept.append(step)
        return SCORES[step], {"score": SCORES[step]}


def run(folder: Path, judge: Judge | None, resume: bool = False, data: str = "data", steps: int = 10) -> OneShotNetwork:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = replace(CONFIG, steps=steps)
    validation = Validation(4, data, judge) if judge else None
    return train(
        config, [SampleSet(moving_blocks())], OneShotNetwork(MODEL), folder / "state.pt", torch.device("cpu"),
        resume=resume, validation=validation, log_path=folder / "log.csv",
    )  # fmt: skip


def column(path: Path, name: str) -> dict[int, str]:
    """What a log holds of one name, by step."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["step"] for row in rows}) == len(rows)
    return {int(row["step"]): row[name] for row in rows if row[name]}


def test_it_is_at_the_beginning_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    judge = Judge()
    run(tmp_path, judge)
    assert judge.steps == [0, 4, 8, 10]
    assert judge.kept == [0, 4]
    assert column(tmp_path / "log.csv", "validation/score") == {step: str(score) for step, score in SCORES.items()}


def test_it_changes_nothing_of_what_is_learned(tmp_path: Path) -> None:
    folders = [tmp_path / "with", tmp_path / "without"]
    judged, plain = (run(folder, judge).state_dict() for folder, judge in zip(folders, (Judge(), None), strict=True))
    for name, values in judged.items():
        torch.testing.assert_close(values, plain[name], msg=lambda m, n=name: f"{n}: {m}")


def test_the_log_has_rate_and_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 3)
    run(tmp_path, Judge())
    for name in ("learning_rate", "loss/heat", "loss/box", "loss/contrastive", "loss/auxiliary"):
        assert list(column(tmp_path / "log.csv", name)) == [3, 4, 6, 8, 9, 10]
    rate = column(tmp_path / "log.csv", "learning_rate")
    assert float(rate[3]) == pytest.approx(make_schedule(CONFIG, 8).rate(2), rel=1e-5), "of the last step done"


def interrupted(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Interrupt the training in its ``call``-th step."""
    real, calls = one_shot.losses, 0

    def losses(*args, **settings):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == call:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(one_shot, "losses", losses)


def by_step(monkeypatch: pytest.MonkeyPatch) -> Judge:
    interrupted(monkeypatch, 7)  # after the validation of step 4
    return Judge()


def by_validation(monkeypatch: pytest.MonkeyPatch) -> Judge:
    return Judge(interrupt_at=8)


@pytest.mark.parametrize(("break_off", "left"), [(by_step, [8, 10]), (by_validation, [8, 10])])
def test_the_best_score_outlives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_off: Callable[[pytest.MonkeyPatch], Judge], left: list[int]
) -> None:
    judge = break_off(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, judge)
    assert judge.kept == [0, 4]
    later = Judge()
    run(tmp_path, later, resume=True)
    assert (later.steps, later.kept) == (left, [])
    assert column(tmp_path / "log.csv", "validation/score") == {step: str(score) for step, score in SCORES.items()}
    again = Judge()
    run(tmp_path, again, resume=True)
    assert again.steps == [], "nothing is left to do"


def test_scores_by_other_data_are_not_compared(tmp_path: Path) -> None:
    run(tmp_path, Judge())
    for judge, data in ((None, "data"), (Judge(), "other data")):
        with pytest.raises(ResumeError, match="was validated on other data; give the same --validate"):
            run(tmp_path, judge, resume=True, data=data)


def test_a_training_without_validation_may_be_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, None)
    judge = Judge()
    run(tmp_path, judge, resume=True)
    assert (judge.steps, judge.kept) == ([8, 10], [8, 10])


RECIPE = """
model: {classes: [pedestrian], input_size: [64, 96], width: 0.125, max_detections: 20}
steps: 6
batch: 1
pairs: {crop_size: [64, 64]}
data: {sets: {blocks: {frames: [1, 5]}}}
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """``qdtrack train`` on a sequence and a set of stills, both of which hold something out."""
    torch.set_num_threads(1)
    blocks, stills = write_folder(tmp_path / "blocks"), tmp_path / "stills"
    stills.mkdir()
    images, boxes = [], []
    for number, frame in enumerate(moving_blocks(), start=1):
        cv2.imwrite(str(stills / f"{number}.png"), frame.image)
        split = "val" if number > 5 else "train"
        images.append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 64, "split": split})
        for x1, y1, x2, y2 in frame.objects.boxes.tolist():
            boxes.append({"image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "pedestrian"}]}
    (stills / "instances.json").write_text(json.dumps(content))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    data = [str(blocks), str(stills)]
    return [
        "train", str(tmp_path / "recipe.yaml"), f"data.root=[{', '.join(data)}]",
        "--output", str(tmp_path / "out" / "w.safetensors"), "--validate", *data, "--validate-every", "2",
    ]  # fmt: skip


def best_step(scores: dict[int, str]) -> int:
    """The first of the steps with the highest score."""
    return max(scores, key=lambda step: (float(scores[step]), -step))


def test_the_output_is_the_best_so_far(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    interrupted(monkeypatch, 4)
    assert main(arguments) == 130
    assert list(column(out / "w.csv", "validation/score")) == [0, 2]
    assert checkpoints.load(out / "w.safetensors").provenance["step"] in (0, 2)
    assert main([*arguments, "--resume"]) == 0
    scores = column(out / "w.csv", "validation/score")
    assert list(scores) == [0, 2, 4, 6]
    assert checkpoints.load(out / "w.safetensors").provenance["step"] == best_step(scores)
    for name in ("ap50/pedestrian", "ap50/pedestrian/stills", "mota/blocks", "idf1/blocks"):
        assert list(column(out / "w.csv", f"validation/{name}")) == [0, 2, 4, 6]
    optional = ["w.tensorboard"] if importlib.util.find_spec("tensorboard") else []
    assert sorted(path.name for path in out.glob("w.*")) == ["w.csv", "w.safetensors", "w.state.pt", *optional]
    assert f"w.safetensors: step {best_step(scores)}" in capsys.readouterr().out


def test_what_is_trained_on_cannot_validate(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("blocks: {frames: [1, 5]}", ""))
    assert main(arguments) == 2
    assert "blocks: all of it is trained on; leave some by `frames` in the recipe" in capsys.readouterr().err
    assert main([*arguments, "steps=1", "--frames", "1-5"]) == 0


def test_pictures_of_what_is_learned(arguments: list[str], tmp_path: Path) -> None:
    for count in (3, 2):
        assert main([*arguments, "--show", str(count)]) == 0
        pictures = sorted((tmp_path / "out" / "w.show").iterdir())
        assert [path.name for path in pictures] == [f"pair-{i:04d}.png" for i in range(count)]
    assert all(cv2.imread(str(path)).shape == (128, 256, 3) for path in pictures)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["w.show"], "nothing is trained"
