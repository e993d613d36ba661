"""The recipes that come along: those of the published tables have their presets' networks and the papers' schedules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.checkpoints.presets import preset_files, read_preset
from qdtrack_model.cli import main
from qdtrack_model.training.config import FairMotTraining, OneShotTraining, QDTrackTraining, read_recipe
from qdtrack_model.training.schedule import make_schedule

from .scene import write_folder

RECIPES = Path(__file__).parents[3] / "config" / "training"
KINDS = dict.fromkeys(("street", "street_real", "plaza", "own_things"), OneShotTraining) | dict.fromkeys(
    ("fairmot", "clmot", "pairwise"), FairMotTraining
)
# Preset of the published recipes, the images of their data sets, and the rates of the paper after so many epochs.
MOT17, CROWDHUMAN, BDD100K = 2664, 15000, 278_079 + 69_863
MOT = {0: 0.02, 1: 0.02, 2.99: 0.02, 3.01: 0.002, 3.99: 0.002}
TWELVE = {0: 2e-5, 1: 0.02, 7.99: 0.02, 8.01: 0.002, 10.99: 0.002, 11.01: 0.0002, 11.99: 0.0002}
PUBLISHED = {
    "mot17": ("mot17", MOT17, MOT),
    "mot17_crowdhuman": ("mot17", MOT17 + CROWDHUMAN, MOT),
    "mot17_test": ("mot17", 5316 + CROWDHUMAN, MOT),
    "dancetrack": ("dancetrack", 41_796, MOT),
    "bdd100k": ("bdd100k", BDD100K, TWELVE),
    "waymo": ("waymo", 790_405, TWELVE),
    "lvis": ("lvis", 57_263, {0: 2e-5, 1: 0.02, 15.99: 0.02, 16.01: 0.002, 21.99: 0.002, 22.01: 0.0002}),
    "tao": ("tao", 18_274, {0: 2e-6, 1: 0.002, 7.99: 0.002, 8.01: 0.0002, 10.99: 0.0002, 11.01: 0.00002}),
}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_can_be_read(path: Path) -> None:
    assert type(read_recipe(path)) is KINDS.get(path.stem, QDTrackTraining)


def test_every_preset_of_qdtrack_has_a_recipe_of_its_name() -> None:
    names = {name for name in preset_files() if not name.startswith("fairmot_")}
    assert names <= {path.stem for path in RECIPES.glob("*.yaml")}


@pytest.mark.parametrize(("name", "preset"), [("light", "light"), *((name, row[0]) for name, row in PUBLISHED.items())])
def test_network_and_tracker_are_those_of_the_preset(name: str, preset: str) -> None:
    recipe, expected = read_recipe(RECIPES / f"{name}.yaml"), read_preset(preset)
    assert recipe.model == expected.model
    assert recipe.tracker == expected.tracker


@pytest.mark.parametrize("backbone", ["dla34", "hrnet_w18"])
@pytest.mark.parametrize("small", [False, True])
def test_one_recipe_trains_all_presets_of_fairmot(backbone: str, small: bool) -> None:
    less = {"model.input_size": [320, 576], "model.head_width": 64, "model.max_detections": 200} if small else {}
    recipe = read_recipe(RECIPES / "fairmot.yaml", {"model.backbone": backbone, **less})
    expected = read_preset(f"fairmot_{backbone}{'_small' if small else ''}")
    assert (recipe.model, recipe.tracker) == (expected.model, expected.tracker)


@pytest.mark.parametrize("name", PUBLISHED)
def test_schedules_are_those_of_the_paper(name: str) -> None:
    """``-s`` prints them."""
    recipe, (_, images, rates) = read_recipe(RECIPES / f"{name}.yaml"), PUBLISHED[name]
    schedule = make_schedule(recipe, images)
    assert recipe.init is None or recipe.init in checkpoints.PUBLIC
    assert isinstance(recipe, QDTrackTraining)
    assert (recipe.optimizer, recipe.batch, recipe.weight_decay, recipe.gradient_clip) == ("sgd", 16, 1e-4, 35)
    print(f"\n{name}: {schedule.steps} steps of {recipe.batch} pairs, warm-up {schedule.warm_up}, from {recipe.init}")
    for epoch, expected in rates.items():
        step = int(epoch * images / recipe.batch)
        print(f"  epoch {epoch:<5}  step {step:<7} rate {schedule.rate(step):g}")
        assert schedule.rate(step) == pytest.approx(expected)
    assert schedule.steps == pytest.approx(recipe.epochs * images / recipe.batch, abs=1)


def test_warm_up_in_epochs_and_half_a_cosine() -> None:
    config = OneShotTraining(epochs=10, batch=4, learning_rate=0.1, warm_up=0, warm_up_epochs=1.0)
    schedule = make_schedule(config, images=100)
    assert (schedule.steps, schedule.warm_up) == (250, 25)
    rates = [round(schedule.rate(step), 4) for step in (0, 11, 24, 125, 249)]
    assert rates == [0.004, 0.0478, 0.0978, 0.0505, 0.001]


def test_a_trial_needs_no_network_and_no_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe for MOT17 with a smaller network; what is public cannot be fetched."""
    torch.set_num_threads(1)
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    small = "input_size=[64,96] depth=18 channels=32 head_width=32 embedding_size=16 proposals=60 max_detections=20"
    changes = [f"data.root={write_folder(tmp_path / 'blocks')}", "batch=1", *(f"model.{key}" for key in small.split())]
    assert main(["train", str(RECIPES / "mot17.yaml"), *changes]) == 2
    assert "weights 'faster-rcnn-coco-person' cannot be fetched" in capsys.readouterr().err
    assert main(["train", str(RECIPES / "mot17.yaml"), *changes, "max_steps=2"]) == 0
    assert "This is a trial: it begins with random weights instead" in capsys.readouterr().err
    assert checkpoints.load(tmp_path / "mot17.safetensors").provenance["step"] == 2
