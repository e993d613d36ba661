"""Trials of the recipes on data sets in their exact form: a few steps of training, and what is learned is scored.

One recipe of each network and form of data; others (``mot17``, ``dancetrack``, ``street`` ...) differ in schedules.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.config import FairMotConfig
from qdtrack_model.training.config import QDTrackTraining, read_recipe

from .data_sets import OTHERS, DataSet, coco, crowdhuman, motchallenge

RECIPES = {path.stem: path for path in (Path(__file__).parents[3] / "config" / "training").glob("*.yaml")}
TRIED = ("bdd100k", "fairmot", "light", "lvis", "mot17_crowdhuman", "street_real", "tao", "waymo")
TRIAL = ("max_steps=2", "batch=1", "model.input_size=[96,160]", "pairs.crop_size=null")
NARROW = ("model.depth=18", "model.channels=32", "model.head_width=32", "model.proposals=60", "model.max_detections=60")
FEW = ("anchor_samples=32", "box_samples=32", "region_samples=16")
ALWAYS = {"fairmot": ["min_score=0.001"], "quasi_dense": ["init_score=0.001", "object_score=0.001"]}


def written(recipe: str, folder: Path) -> tuple[list[Path], DataSet]:
    """What a recipe learns from, and what its output is scored on."""
    data = OTHERS.get(recipe, motchallenge)(folder / "data")
    if "crowdhuman" in recipe or recipe == "mot17_test":
        return [data.root, crowdhuman(folder / "CrowdHuman")], data
    if recipe == "street_real":
        return [data.root, coco(folder / "coco")], data
    return [data.root], data


def trained(recipe: str, roots: list[Path], changes: tuple[str, ...]) -> None:
    """Train in the current folder; what is public cannot be fetched."""
    root = f"data.root=[{','.join(map(str, roots))}]"
    assert main(["train", str(RECIPES[recipe]), root, *changes, "--output", "w.safetensors", "--device", "cpu"]) == 0


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", TRIED)
def test_what_a_recipe_learns_is_scored(recipe: str, tmp_path: Path) -> None:
    roots, data = written(recipe, tmp_path)
    two_stage = isinstance(read_recipe(RECIPES[recipe]), QDTrackTraining)
    trained(recipe, roots, (*TRIAL, *((*NARROW, *FEW) if two_stage else ())))
    tracker = checkpoints.load(Path("w.safetensors")).tracker
    given = ["--weights", "w.safetensors", "--runtime", "torch", "--threads", "1"]
    given += ["--time", "frames" if tracker.frame_rate else "seconds"]
    if data.form != "lvis":
        given += ["--tracker", *ALWAYS["fairmot" if isinstance(tracker, FairMotConfig) else "quasi_dense"]]
    assert main(["submit", "--protocol", data.form, "--data", str(data.root), "--output", "out", *given]) == 0
    where = ["--ground-truth", str(data.root / data.truth), "--results", "out", "--json", "scores.json"]
    assert main(["evaluate", "--protocol", data.protocol, *where]) == 0
    assert json.loads(Path("scores.json").read_text())["scores"]


@pytest.mark.slow
def test_what_is_learned_of_things_of_ones_own_is_judged(tmp_path: Path) -> None:
    """Stills, which no protocol of tracking scores."""
    things = coco(tmp_path / "ducks")
    trained("own_things", [things], (*TRIAL, "model.classes=[car]"))
    where = ["--config", str(RECIPES["own_things"]), "--data", str(things), "--json", "scores.json"]
    assert main(["validate", "--weights", "w.safetensors", *where, "--runtime", "torch"]) == 0
    assert "car" in json.loads(Path("scores.json").read_text())["together"]
