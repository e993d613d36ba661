"""``qdtrack train RECIPE init=...``: weights arrive, and those that mean something else are refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.config import FairMotModelConfig, ModelConfig, OneShotConfig, QDTrackConfig, QuasiDenseConfig
from qdtrack_model.networks import build
from qdtrack_model.training.start import disagreements

from .scene import write_folder

ONE_SHOT = OneShotConfig(classes=("pedestrian", "vehicle"), input_size=(64, 96), width=0.125, max_detections=20)
QDTRACK = QDTrackConfig(
    classes=("pedestrian",), input_size=(64, 96), depth=18, style="pytorch", channels=32, head_width=32,
    embedding_size=16, sampling=1, proposals_per_level=60, proposals=60, max_detections=20,
)  # fmt: skip
SEQUENCE = "steps: 1\nbatch: 1\nlearning_rate: 1.0e-9\nwarm_up: 0\npairs: {crop_size: [64, 64]}\n"
RECIPES = {
    "one_shot": SEQUENCE
    + "model: {classes: [pedestrian, vehicle], input_size: [64, 96], width: 0.125, max_detections: 20}\n",
    "qdtrack": SEQUENCE
    + "architecture: qdtrack\nmodel: {classes: [pedestrian], input_size: [64, 96], depth: 18, style: pytorch, "
    "channels: 32, head_width: 32, embedding_size: 16, sampling: 1, proposals_per_level: 60, proposals: 60, "
    "max_detections: 20}\n",
}


def given(folder: Path, config: ModelConfig) -> tuple[Path, nn.Module]:
    """A weights file of a network unlike any that training would begin with, and that network."""
    torch.manual_seed(99)
    network = build(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.1, 0.1)
    checkpoints.save(folder / "given.safetensors", network, config, QuasiDenseConfig(), {})
    return folder / "given.safetensors", network


def start(folder: Path, recipe: str, init: Path, *more: str) -> int:
    """Run the training command for one step that hardly moves."""
    (folder / "recipe.yaml").write_text(recipe)
    changes = [f"data.root={write_folder(folder / 'blocks')}", f"init={init}", *more]
    return main(["train", str(folder / "recipe.yaml"), *changes, "--output", str(folder / "out.safetensors")])


def arrived(folder: Path, source: nn.Module) -> set[str]:
    """The parameters that came out of training as they went in."""
    trained = dict(checkpoints.load(folder / "out.safetensors").network().named_parameters())
    return {
        name
        for name, value in source.named_parameters()
        if trained[name].shape == value.shape and torch.allclose(trained[name], value, atol=1e-6)
    }


@pytest.mark.parametrize(("recipe", "config"), [("one_shot", ONE_SHOT), ("qdtrack", QDTRACK)])
def test_weights_arrive(tmp_path: Path, recipe: str, config: ModelConfig) -> None:
    file, source = given(tmp_path, config)
    assert start(tmp_path, RECIPES[recipe], file) == 0
    assert arrived(tmp_path, source) == {name for name, _ in source.named_parameters()}


@pytest.mark.parametrize(
    ("recipe", "config", "changed", "message"),
    [
        ("qdtrack", QDTRACK, {"style": "caffe"}, "style 'caffe', expected 'pytorch'"),
        ("qdtrack", QDTRACK, {"channel_order": "rgb"}, "channel_order 'rgb', expected 'bgr'"),
        ("qdtrack", QDTRACK, {"mean": (1.0, 2.0, 3.0)}, "mean (1.0, 2.0, 3.0), expected (103.53, 116.28, 123.675)"),
        ("qdtrack", QDTRACK, {"deviation": (58.0, 57.0, 56.0)}, "deviation (58.0, 57.0, 56.0), expected (1.0, 1.0"),
        ("qdtrack", QDTRACK, {"classes": ("car",)}, "class 0 'car', expected 'pedestrian'"),
        ("one_shot", ONE_SHOT, {"classes": ("vehicle", "pedestrian")}, "class 0 'vehicle', expected 'pedestrian'"),
        ("one_shot", QDTRACK, {}, "architecture 'qdtrack', expected 'one_shot'"),
    ],
)
def test_weights_that_mean_something_else_are_refused_by_name(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    config: ModelConfig,
    changed: dict[str, Any],
    message: str,
) -> None:
    file, _ = given(tmp_path, dataclasses.replace(config, **changed))
    assert start(tmp_path, RECIPES[recipe], file) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"init: {file}: {message}" in line
    assert "init_anyway=true" in line
    assert not (tmp_path / "out.safetensors").exists()


def test_deformable_weights_are_none_of_a_plain_network() -> None:
    """All tensors of the plain one are in them, but were learned behind masks."""
    plain, deformable = FairMotModelConfig(), FairMotModelConfig(deformable=True)
    assert disagreements(plain, deformable) == ["deformable True, expected False"]
    assert disagreements(plain, plain) == []


@pytest.mark.parametrize(("recipe", "change"), [("one_shot", "frozen=detector"), ("qdtrack", "freeze_detector=true")])
def test_random_weights_are_not_frozen(
    recipe: str, change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPES[recipe])
    output = tmp_path / "out.safetensors"
    assert main(["train", str(tmp_path / "recipe.yaml"), f"data.root={tmp_path}", change, "--output", str(output)]) == 2
    assert "init: none, and what is frozen would keep random weights" in capsys.readouterr().err


def test_they_are_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    file, source = given(tmp_path, dataclasses.replace(QDTRACK, style="caffe", classes=("car",)))
    assert start(tmp_path, RECIPES["qdtrack"], file, "init_anyway=true") == 0
    assert arrived(tmp_path, source) == {name for name, _ in source.named_parameters()}


def test_with_another_number_of_classes_their_heads_start_afresh(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, source = given(tmp_path, dataclasses.replace(ONE_SHOT, classes=("vehicle",)))
    assert start(tmp_path, RECIPES["one_shot"], file) == 0
    assert f"starting from {file}; afresh: heat\n" in capsys.readouterr().out
    assert {name for name, _ in source.named_parameters()} - arrived(tmp_path, source) == {"heat.weight", "heat.bias"}


def detector(folder: Path, classes: tuple[str, ...]) -> tuple[Path, dict[str, torch.Tensor]]:
    """A plain detector as mmdetection publishes them, and its tensors."""
    torch.manual_seed(99)
    state = build(dataclasses.replace(QDTRACK, classes=classes)).state_dict()
    state = {name: value for name, value in state.items() if not name.startswith("embedding_head.")}
    torch.save({"meta": {"CLASSES": classes}, "state_dict": state}, folder / "detector.pth")
    return folder / "detector.pth", state


def test_a_plain_detector_is_a_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, state = detector(tmp_path, ("bus", "person"))
    assert start(tmp_path, RECIPES["qdtrack"], file, "init_classes=person") == 0
    assert f"starting from {file}; afresh: embedding_head\n" in capsys.readouterr().out
    trained = checkpoints.load(tmp_path / "out.safetensors")
    assert trained.fresh == ()
    for name, value in trained.network().named_parameters():
        if name.startswith("embedding_head."):
            continue
        rows = {"fc_cls": [1, 2], "fc_reg": [4, 5, 6, 7]}.get(name.split(".")[-2])
        assert torch.allclose(value, state[name] if rows is None else state[name][rows], atol=1e-6), name


def test_what_has_learned_nothing_does_not_arrive(tmp_path: Path) -> None:
    torch.manual_seed(99)
    network = build(QDTRACK)
    file = tmp_path / "start.safetensors"
    checkpoints.save(file, network, QDTRACK, QuasiDenseConfig(), {"fresh": ["embedding_head"]})
    assert start(tmp_path, RECIPES["qdtrack"], file) == 0
    named = {name for name, value in network.named_parameters() if value.ndim > 1}
    assert named - arrived(tmp_path, network) == {name for name in named if name.startswith("embedding_head.")}


@pytest.mark.parametrize(
    ("recipe", "classes", "message"),
    [
        ("qdtrack", [], "class 0 'bus', expected 'pedestrian'; choose"),
        ("qdtrack", ["init_classes=[person,bus]"], "init_classes: got 2, expected one for each of pedestrian"),
        ("qdtrack", ["init_classes=car"], "no class 'car'; it has bus"),
        (
            "one_shot",
            [],
            "a checkpoint of another project is a QDTrack, its detector or FairMOT's network, the",
        ),
    ],
)
def test_a_detector_that_does_not_suit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, classes: list[str], message: str
) -> None:
    file, _ = detector(tmp_path, ("bus",))
    assert start(tmp_path, RECIPES[recipe], file, *classes) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_classes_of_weights_of_this_project_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _ = given(tmp_path, QDTRACK)
    assert start(tmp_path, RECIPES["qdtrack"], file, "init_classes=person") == 2
    assert "are weights of this project, whose classes stay as they are" in capsys.readouterr().err
