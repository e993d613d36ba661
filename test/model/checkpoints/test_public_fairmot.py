"""Checkpoints of FairMOT's network in their public layouts: seeded round trips, and what such files lack."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from qdtrack_model import checkpoints, cli
from qdtrack_model.checkpoints import CheckpointError, load_public
from qdtrack_model.checkpoints.public import convert
from qdtrack_model.config import FairMotConfig, FairMotModelConfig
from qdtrack_model.networks import build

HEADS = ("hm.", "wh.", "reg.", "id.")
FILES = {
    "FairMOT, DLA-34": FairMotModelConfig(deformable=True),
    "CL-MOT, DLA-34": FairMotModelConfig(deformable=True, size="wh", embedding_size=512),
    "FairMOT, HRNet": FairMotModelConfig(backbone="hrnet_w18", size="wh"),
}


def tensors(config: FairMotModelConfig) -> dict[str, Tensor]:
    """Seeded weights by our names."""
    torch.manual_seed(0)
    return {name: torch.rand_like(value) + 0.1 for name, value in build(config).state_dict().items()}


def published(own: dict[str, Tensor], counters: bool = True) -> dict[str, Tensor]:
    """The same by the names of public files, with the counters of batch norms and what DLA never uses."""
    state = {name.removeprefix("backbone."): value for name, value in own.items()}
    if counters:
        state |= {
            name.replace("running_mean", "num_batches_tracked"): torch.tensor(7)
            for name in state
            if name.endswith("running_mean")
        }
    if "dla_up.ida_0.proj_1.conv.weight" in state:
        state |= {
            "base.level3.project.0.weight": torch.ones(128, 64, 1, 1),
            "base.level4.project.1.bias": torch.ones(256),
        }
    return state


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_public_layouts_come_back(name: str, prefix: str) -> None:
    config = FILES[name]
    own = tensors(config)
    file = {"epoch": 30, "state_dict": {prefix + key: value for key, value in published(own).items()}}
    expected = FairMotModelConfig(backbone=config.backbone)  # the shapes say the rest
    done = convert(file, expected)
    assert done.network.config == config
    assert all(torch.equal(value, own[key]) for key, value in done.network.state_dict().items())
    assert done.fresh == ()
    assert not done.network.training


def test_the_names_are_those_of_public_files() -> None:
    """Some of each part, as the public code of FairMOT makes them."""
    dla = published(tensors(FILES["FairMOT, DLA-34"]))
    for name, shape in {
        "base.base_layer.0.weight": (16, 3, 7, 7),
        "base.level1.0.weight": (32, 16, 3, 3),
        "base.level2.project.0.weight": (64, 32, 1, 1),
        "base.level2.root.conv.weight": (64, 128, 1, 1),
        "base.level3.tree1.project.0.weight": (128, 64, 1, 1),
        "base.level3.tree2.root.conv.weight": (128, 448, 1, 1),
        "base.level4.tree2.root.conv.weight": (256, 896, 1, 1),
        "base.level5.root.conv.weight": (512, 1280, 1, 1),
        "base.level5.tree2.bn2.running_var": (512,),
        "dla_up.ida_0.proj_1.conv.conv_offset_mask.weight": (27, 512, 3, 3),
        "dla_up.ida_2.up_3.weight": (64, 1, 4, 4),
        "dla_up.ida_2.node_3.actf.0.running_mean": (64,),
        "ida_up.proj_2.conv.weight": (64, 256, 3, 3),
        "ida_up.up_2.weight": (64, 1, 8, 8),
        "hm.0.weight": (256, 64, 3, 3),
        "id.2.weight": (128, 256, 1, 1),
    }.items():
        assert tuple(dla[name].shape) == shape, name
    hrnet = published(tensors(FILES["FairMOT, HRNet"]))
    for name, shape in {
        "conv2.weight": (64, 64, 3, 3),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "transition1.1.0.0.weight": (36, 256, 3, 3),
        "transition3.3.0.0.weight": (144, 72, 3, 3),
        "stage2.0.branches.1.3.conv2.weight": (36, 36, 3, 3),
        "stage3.3.fuse_layers.2.0.1.0.weight": (72, 18, 3, 3),
        "stage4.2.fuse_layers.0.3.0.weight": (18, 144, 1, 1),
        "last_layer.0.weight": (64, 270, 1, 1),
        "wh.2.weight": (2, 256, 1, 1),
    }.items():
        assert tuple(hrnet[name].shape) == shape, name


@pytest.mark.parametrize(
    ("backbone", "more", "fresh"),
    [
        ("dla34", {"fc.weight": (1000, 512, 1, 1)}, ("backbone.dla_up", "backbone.ida_up", "hm", "wh", "reg", "id")),
        ("hrnet_w18", {"classifier.weight": (1000, 2048), "incre_modules.0.0.conv1.weight": (32, 18, 1, 1)},
         ("backbone.last_layer", "hm", "wh", "reg", "id")),
    ],
)  # fmt: skip
def test_a_backbone_of_imagenet_leaves_the_rest_fresh(backbone: str, more: dict, fresh: tuple[str, ...]) -> None:
    config = FairMotModelConfig(backbone=backbone)
    own = {name: value for name, value in tensors(config).items() if not name.startswith((*fresh,))}
    state = {name.removeprefix("backbone.").removeprefix("base."): value for name, value in own.items()}
    done = convert(state | {name: torch.zeros(shape) for name, shape in more.items()}, config)
    assert done.fresh == fresh
    assert set(done.unused) == set(more)
    taken = done.network.state_dict()
    assert all(torch.equal(taken[name], value) for name, value in own.items())


def test_centernet_leaves_the_heads_of_classes_sizes_and_embeddings_fresh() -> None:
    own = tensors(FILES["FairMOT, DLA-34"])
    state = {name: value for name, value in published(own).items() if not name.startswith("id.")}
    state |= {
        "hm.2.weight": torch.ones(80, 256, 1, 1),
        "hm.2.bias": torch.ones(80),
        "wh.2.weight": torch.ones(2, 256, 1, 1),
    }
    done = convert(state, FairMotModelConfig())
    assert (done.layout, done.fresh) == ("CenterNet with DLA-34", ("hm", "wh", "id"))
    assert done.network.config == FairMotModelConfig(deformable=True)
    taken = done.network.state_dict()
    assert all(torch.equal(taken[name], value) for name, value in own.items() if name.startswith(("backbone.", "reg.")))
    assert taken["hm.2.weight"].shape == (1, 256, 1, 1)


def test_a_file_of_the_other_backbone_is_refused() -> None:
    state = published(tensors(FILES["FairMOT, HRNet"]))
    with pytest.raises(CheckpointError, match=r"unknown layout: .* one of: FairMOT or CL-MOT with DLA-34"):
        convert(state, FairMotModelConfig())
    with pytest.raises(CheckpointError, match="--classes: a file of FairMOT's network does not name its classes"):
        convert(state, FairMotModelConfig(backbone="hrnet_w18"), classes=("person",))


def test_the_command_says_what_such_files_lack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = FILES["FairMOT, HRNet"]
    torch.save({"state_dict": published(tensors(config))}, tmp_path / "model.pth")
    weights = tmp_path / "w.safetensors"
    given = ["convert", str(tmp_path / "model.pth"), "--preset", "fairmot_hrnet_w18", "--output", str(weights)]
    assert cli.main(given) == 0
    said = capsys.readouterr().out
    assert "hrnet_w18; boxes as wh, embeddings of 128" in said
    assert "no file of this kind holds the classifier and the balance of its training" in said
    written = checkpoints.load(weights)
    assert (written.config, written.tracker.kind) == (config, "fairmot")
    assert isinstance(written.tracker, FairMotConfig)
    assert load_public(tmp_path / "model.pth", "fairmot_hrnet_w18").config == config
