"""Public checkpoints: every layout round trip, and one clear error for every kind of bad input."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trackeval
from torch import Tensor

from qdtrack_model import checkpoints, cli
from qdtrack_model.checkpoints import CheckpointError, load_public
from qdtrack_model.checkpoints.classes import COCO
from qdtrack_model.checkpoints.presets import preset_files, read_preset
from qdtrack_model.checkpoints.public import convert
from qdtrack_model.config import ConfigError, FairMotModelConfig, QDTrackConfig, to_mapping
from qdtrack_model.networks import QDTrack

from .published import CONFIG, EMBEDDING, canonical, laid_out, write_preset

PUBLISHED_KEYS = Path(__file__).parents[2] / "reference" / "faster_rcnn" / "published_keys.txt"


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A preset of a tiny network."""
    return write_preset(tmp_path / "tiny.yaml")


@pytest.mark.parametrize("layout", EMBEDDING)
def test_every_layout_comes_back(layout: str) -> None:
    tensors = canonical()
    done = convert(OrderedDict(laid_out(tensors, layout)), CONFIG)
    state = done.network.state_dict()
    assert state.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in state.items())
    assert done.used == len(tensors)
    assert [key.rpartition(".")[2] for key in done.unused] == ["num_batches_tracked"]
    assert done.fresh == ()
    assert not done.network.training


def test_the_published_keys_are_all_known() -> None:
    state = {}
    for line in PUBLISHED_KEYS.read_text("utf-8").splitlines():
        name, _, shape = line.partition(" ")
        state[name] = torch.zeros([int(n) for n in shape.strip("[]").split(",")])
    done = convert(state, read_preset("mot17").model)
    assert load_public(state, done.network.config).config == done.network.config
    assert (done.used, done.unused) == (len(state), ())


def test_a_torchvision_backbone_fills_the_backbone_alone() -> None:
    tensors = {n.removeprefix("backbone."): t for n, t in canonical().items() if n.startswith("backbone.")}
    state = tensors | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    done = convert(state, CONFIG)
    assert done.unused == ("fc.bias", "fc.weight")
    assert done.fresh == ("neck", "rpn_head", "roi_head", "embedding_head")
    assert done.used == len(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(done.network.state_dict()[f"backbone.{name}"], tensor)
    # The preset is in caffe style, these weights are not.
    assert (done.network.config.style, done.network.config.channel_order) == ("pytorch", "rgb")
    assert done.network.config.mean == (123.675, 116.28, 103.53)


def detector(classes: tuple[str, ...], **changes: Any) -> dict[str, Tensor]:
    """A plain Faster R-CNN for these classes, its rows numbered by class: 0, 1, ... and 99 for background."""
    config = dataclasses.replace(CONFIG, classes=classes, **changes)
    state = laid_out(QDTrack(config).state_dict(), "mmdet")
    numbers = torch.arange(len(classes), dtype=torch.float32)
    state["roi_head.bbox_head.fc_cls.bias"] = torch.cat([numbers, torch.tensor([99.0])])
    state["roi_head.bbox_head.fc_reg.bias"] = numbers.repeat_interleave(4)
    return state


@pytest.mark.parametrize("meta", [{}, {"CLASSES": COCO}, {"dataset_meta": {"classes": COCO}}])
def test_classes_of_a_plain_detector_are_chosen_by_name(meta: dict[str, Any]) -> None:
    state = detector(COCO)
    done = convert({"state_dict": state, "meta": meta}, CONFIG, ("car", "person"))
    assert (done.fresh, done.network.config.classes) == (("embedding_head",), CONFIG.classes)
    head = done.network.roi_head.bbox_head
    assert head.fc_cls.bias.tolist() == [2, 0, 99]  # car is the third of COCO's classes
    assert head.fc_reg.bias.tolist() == [2, 2, 2, 2, 0, 0, 0, 0]
    assert torch.equal(head.fc_cls.weight[1], state["roi_head.bbox_head.fc_cls.weight"][0])
    assert torch.equal(head.fc_reg.weight[:4], state["roi_head.bbox_head.fc_reg.weight"][8:12])
    assert torch.equal(
        done.network.neck.state_dict()["lateral_convs.0.conv.weight"], state["neck.lateral_convs.0.conv.weight"]
    )


def test_a_detector_of_one_class_and_its_fresh_part() -> None:
    one = dataclasses.replace(CONFIG, classes=("pedestrian",))
    state = detector(("person",))
    named = convert({"state_dict": state, "meta": {"CLASSES": ("person",)}}, one)
    assert named.network.config.classes == ("person",)  # what the file says
    chosen = convert({"state_dict": state, "meta": {"CLASSES": ("person",)}}, one, ("person",))
    assert chosen.network.config.classes == ("pedestrian",)
    assert convert(state, one, ("person",)).network.config.classes == ("pedestrian",)  # it does not say
    first, second = (done.network.embedding_head.state_dict() for done in (named, chosen))
    assert all(torch.equal(first[name], second[name]) for name in first)  # random, the same every time


@pytest.mark.parametrize(
    ("state", "meta", "classes", "message"),
    [
        (("a", "b", "c"), {"CLASSES": ("a", "b", "c")}, ("a", "d"), "no class 'd'; it has a, b, c"),
        (COCO, {}, ("persn", "car"), "no class 'persn'; did you mean 'person'"),
        (("a", "b", "c"), {}, ("a", "b"), "does not name its 3 classes, so that none can be chosen by --classes"),
        (("a", "b", "c"), {"CLASSES": ("a", "b", "c")}, None, "made for 3 classes, the preset has 2; .*by --classes"),
        (("a", "b", "c"), {"CLASSES": ("a", "b", "c")}, ("a",), "made for 1 classes, the preset has 2"),
    ],
)
def test_classes_that_cannot_be_chosen(
    state: tuple[str, ...], meta: dict[str, Any], classes: tuple[str, ...] | None, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert({"state_dict": detector(state), "meta": meta}, CONFIG, classes)


def test_a_detector_of_other_shapes_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"does not fit .*shape \(64, .*expected \(32, "):
        convert(detector(COCO, channels=64), CONFIG, ("person", "car"))
    agnostic = detector(COCO) | {"roi_head.bbox_head.fc_reg.bias": torch.zeros(4)}
    with pytest.raises(CheckpointError, match=r"fc_reg.bias has shape \(4,\), expected \(8,\)"):
        convert(agnostic, CONFIG, ("person", "car"))
    backbone = {n.removeprefix("backbone."): t for n, t in canonical().items() if n.startswith("backbone.")}
    with pytest.raises(CheckpointError, match="has no box head to choose classes from"):
        convert(backbone, CONFIG, ("person", "car"))


def test_the_command_chooses_classes_and_names_what_is_fresh(
    tmp_path: Path, preset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "detector.pth", tmp_path / "weights.safetensors"
    torch.save({"meta": {"CLASSES": COCO}, "state_dict": detector(COCO)}, source)
    command = ["convert", str(source), "--output", str(output), "--preset", str(preset), "--classes", "person, car,bus"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "mmdetection's Faster R-CNN" in printed
    assert "not in the file, with fresh random weights: embedding_head" in printed
    checkpoint = checkpoints.load(output)
    assert (checkpoint.config.classes, checkpoint.fresh) == (("person", "car", "bus"), ("embedding_head",))


def test_what_the_file_says_of_its_training_wins() -> None:
    text = """
model = dict(detector=dict(backbone=dict(type='ResNet', style='pytorch')))
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
"""
    content = {"state_dict": laid_out(canonical(), "mm"), "meta": {"config": text, "CLASSES": ("person", "vehicle")}}
    config = convert(content, CONFIG).network.config
    assert (config.style, config.channel_order, config.classes) == ("pytorch", "rgb", ("person", "vehicle"))
    assert config.deviation == (58.395, 57.12, 57.375)
    other = {"state_dict": content["state_dict"], "meta": {"config": text.replace("123.675", "90.4")}}
    assert convert(other, CONFIG).network.config.padding == (104, 116, 90)  # the mean, which is red, green, blue
    assert convert({"state_dict": content["state_dict"]}, CONFIG).network.config == CONFIG


def test_the_command_writes_weights_that_know_all_about_themselves(
    tmp_path: Path, preset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "public.pth", tmp_path / "out" / "weights.safetensors"
    torch.save({"meta": {"epoch": 4}, "state_dict": laid_out(canonical(), "mm")}, source)
    assert cli.main(["convert", str(source), "--output", str(output), "--preset", str(preset)]) == 0
    assert "num_batches_tracked" in capsys.readouterr().out  # an unused key is named
    checkpoint = checkpoints.load(output)
    assert checkpoint.config == CONFIG
    assert checkpoint.tracker.init_score == 0.9
    assert checkpoint.provenance["layout"] == "mmtracking or mmdetection 3"
    assert checkpoint.provenance["converted_from"] == "public.pth"
    direct = load_public(source, preset)
    for name, value in checkpoint.network().state_dict().items():
        assert torch.equal(value, direct.state_dict()[name])


class Hostile:
    """Unpickling this would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("open('ran', 'w')",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_with_code_is_refused_with_the_reason(
    tmp_path: Path, preset: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pth"
    content = {"meta": Hostile(), "state_dict": laid_out(canonical(), "mm")}
    if legacy:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"hostile.pth: refused: .*eval.*running code"):
        load_public(path, preset)
    assert not (tmp_path / "ran").exists()


def without(ending: str) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        del state[next(key for key in state if key.endswith(ending))]

    return change


def three_classes(state: dict[str, Tensor]) -> None:
    state["detector.roi_head.bbox_head.fc_cls.weight"] = torch.zeros(4, 16)
    state["detector.roi_head.bbox_head.fc_cls.bias"] = torch.zeros(4)
    state["detector.roi_head.bbox_head.fc_reg.weight"] = torch.zeros(12, 16)
    state["detector.roi_head.bbox_head.fc_reg.bias"] = torch.zeros(12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (three_classes, "made for 3 classes, the preset has 2; choose the preset"),
        (without("layer3.1.bn2.bias"), r"missing backbone.layer3.1.bn2.bias"),
        (without("fc_embed.weight"), "missing embedding_head.fc_embed.weight"),
        (lambda s: s.update({"detector.mask_head.bias": torch.zeros(1)}), "unknown mask_head.bias"),
        (
            lambda s: s.update({"detector.neck.fpn_convs.0.conv.bias": torch.zeros(5)}),
            r"shape \(5,\), expected \(32,\)",
        ),
        (lambda s: s.update({"detector.backbone.bn1.bias": torch.full((64,), torch.nan)}), "bn1.bias is not finite"),
        (lambda s: s.update({"detector.backbone.bn1.bias": "x"}), "'detector.backbone.bn1.bias' is a str"),
        (lambda s: s.update({"backbone.bn1.bias": torch.zeros(64)}), "two of its keys mean the same tensor"),
        (lambda s: s.clear(), "holds no tensors"),
        (lambda s: (s.clear(), s.update(weight=torch.zeros(1))), "unknown layout: its 1 keys begin with weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    preset: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    state = laid_out(canonical(), "mm")
    change(state)
    with pytest.raises(CheckpointError, match=message):
        load_public(state, preset)


def test_another_depth_is_an_error(preset: Path) -> None:
    backbone = QDTrack(CONFIG).backbone.state_dict()
    with pytest.raises(CheckpointError, match="does not fit"):
        convert({n: t for n, t in backbone.items() if "layer3.1" not in n}, CONFIG)


def test_files_that_are_no_checkpoints(tmp_path: Path, preset: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save({"state_dict": laid_out(canonical(), "mm")}, whole)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:20000])
    noise = tmp_path / "noise.pth"
    noise.write_bytes(bytes(range(256)) * 20)
    empty = tmp_path / "empty.pth"
    empty.touch()
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors at all", "utf-8")
    for path in (cut, noise, empty, text):
        with pytest.raises(CheckpointError, match=rf"{path.name}: not a readable checkpoint.*is it complete"):
            load_public(path, preset)
    with pytest.raises(CheckpointError, match="no such file"):
        load_public(tmp_path / "nowhere.pth", preset)
    torch.save([1, 2], whole)
    with pytest.raises(CheckpointError, match="holds a list"):
        load_public(whole, preset)


def test_the_user_sees_one_line(tmp_path: Path, preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["convert", str(tmp_path / "nowhere.pth"), "--output", str(tmp_path / "x.safetensors"), "--preset"]
    assert cli.main([*command, str(preset)]) == 2
    assert cli.main([*command, "mott17"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "no such file" in errors[0]
    assert "mott17" in errors[1] and "dancetrack" in errors[1]


def test_presets_are_complete_and_as_published() -> None:
    models = {name: read_preset(name).model for name in preset_files()}
    fairmot = {name: model for name, model in models.items() if isinstance(model, FairMotModelConfig)}
    assert {name: (m.backbone, m.input_size) for name, m in fairmot.items()} == {
        "fairmot_dla34": ("dla34", (608, 1088)),
        "fairmot_dla34_small": ("dla34", (320, 576)),
        "fairmot_hrnet_w18": ("hrnet_w18", (608, 1088)),
        "fairmot_hrnet_w18_small": ("hrnet_w18", (320, 576)),
    }
    models = {name: model for name, model in models.items() if isinstance(model, QDTrackConfig)}
    assert {name: (m.depth, m.style, len(m.classes), m.clip_boxes) for name, m in models.items()} == {
        "mot17": (50, "caffe", 1, False),
        "dancetrack": (50, "caffe", 1, False),
        "bdd100k": (50, "pytorch", 8, True),
        "waymo": (50, "pytorch", 3, True),
        "lvis": (101, "pytorch", 482, True),
        "tao": (101, "pytorch", 482, True),
        "light": (18, "pytorch", 2, True),
    }
    import yaml

    for name, path in preset_files().items():
        model = read_preset(name).model
        fields = set(to_mapping(model)) - {"columns"}  # which follow from the names
        assert set(yaml.safe_load(path.read_text("utf-8"))["model"]) == fields, name
        assert len(set(model.classes)) == len(model.classes)
    kinds = {name: read_preset(name).tracker.kind for name in preset_files()}
    assert {name for name, kind in kinds.items() if kind == "fairmot"} == set(fairmot)
    assert {name for name, kind in kinds.items() if kind == "tao"} == {"lvis", "tao"}


@pytest.mark.parametrize("name", ["lvis", "tao"])
def test_the_classes_of_tao_are_lvis_names_in_the_order_of_their_ids(name: str) -> None:
    known = Path(trackeval.__file__).parent / "datasets" / "burst_helpers" / "tao_categories.json"
    ids = {entry["name"]: entry["id"] for entry in json.loads(known.read_text("utf-8"))}
    assert len(ids) == 1230
    ids["person"] = ids.pop("baby")
    found = [ids[label] for label in read_preset(name).model.classes]
    assert found == sorted(set(found))
    assert (len(found), found[0], found[-1]) == (482, 2, 1229)
    assert {24, 81, 95, 211, 382, 805, 1144} <= set(found)  # trash can, cow, bicycle, car, dog, person, truck
    assert not {1, 13, 1038, 1230} & set(found)  # acorn, apple, stop sign, zucchini: in LVIS alone


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"got 'mot18', expected one of bdd100k, .*mot17"):
        load_public({}, "mot18")
