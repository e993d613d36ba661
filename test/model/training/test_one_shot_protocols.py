"""The ways to train a one-shot network: each learns, what is frozen stays, identities matter only where they may."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qdtrack_model import checkpoints
from qdtrack_model.config import ConfigError, FairMotModelConfig, OneShotConfig, QuasiDenseConfig
from qdtrack_model.data.pairs import FramePairs, PairConfig
from qdtrack_model.data.samples import IGNORED, LabelledImage, Objects, SampleSet
from qdtrack_model.networks import build
from qdtrack_model.training.config import OBJECTIVES, OF_VIEWS, FairMotTraining, OneShotTraining, read_recipe
from qdtrack_model.training.loop import train
from qdtrack_model.training.one_shot.objects import as_classes, object_places
from qdtrack_model.training.one_shot.preparation import prepare
from qdtrack_model.training.schedule import make_schedule
from qdtrack_model.training.targets import UNKNOWN, UNUSED, centre_targets

from .scene import moving_blocks

MODEL = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, max_detections=20, embedding_size=8)
FRAMES = PairConfig((64, 64), reference_range=2)
VIEWS = PairConfig((64, 64), reference_range=0, identities="frame", mirrored=True)
CONFIG = OneShotTraining(model=MODEL, steps=2, batch=2, pairs=FRAMES, warm_up=0, places=16, ema_decay=0.0)


def config_for(way: str, **changes: Any) -> OneShotTraining:
    pairs = VIEWS if way in OF_VIEWS else FRAMES
    return dataclasses.replace(CONFIG, embeddings=way, pairs=pairs, **changes)  # type: ignore[arg-type]


def run(config: OneShotTraining, folder: Path, sets: list[SampleSet] | None = None) -> dict[str, Tensor]:
    torch.manual_seed(config.seed)
    network = build(config.model)
    train(config, sets or [SampleSet(moving_blocks())], network, folder / "s.pt", torch.device("cpu"))
    return network.state_dict()


def start(config: OneShotTraining) -> dict[str, Tensor]:
    torch.manual_seed(config.seed)
    return build(config.model).state_dict()


@pytest.mark.parametrize("way", OBJECTIVES)
def test_every_way_moves_the_embeddings_and_leaves_nothing_of_its_own(way: str, tmp_path: Path) -> None:
    config = config_for(way, box_loss="l1" if way == "cosine" else "giou")
    torch.manual_seed(0)
    network = build(MODEL)
    before = network.state_dict()["embedding.weight"].clone()
    trained = train(config, [SampleSet(moving_blocks())], network, tmp_path / "s.pt", torch.device("cpu"))
    after = trained.state_dict()
    assert after.keys() == start(config).keys()
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(after["embedding.weight"], before)
    checkpoints.save(tmp_path / "w.safetensors", trained, MODEL, QuasiDenseConfig(), {})


@pytest.mark.parametrize("way", [*OF_VIEWS, "euclidean", "cosine", "each_box"])
def test_identities_change_no_weight_where_none_are_needed(way: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"off_centre": True, "projection": True} if way in OF_VIEWS else {}
    results = []
    for number, ids in enumerate([(0, 1, 2), (7, -1, 7)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        results.append(run(config_for(way, **changes), folder, [SampleSet(moving_blocks(ids))]))
    for other in results[1:]:
        assert all(torch.equal(value, other[name]) for name, value in results[0].items())


def test_identities_do_change_weights_where_they_are_the_classes(tmp_path: Path) -> None:
    results = []
    for number, ids in enumerate([(0, 1, 2), (0, 0, 2)]):
        (tmp_path / str(number)).mkdir()
        results.append(run(config_for("identity"), tmp_path / str(number), [SampleSet(moving_blocks(ids))]))
    assert not torch.equal(results[0]["embedding.weight"], results[1]["embedding.weight"])


@pytest.mark.parametrize(
    ("frozen", "learned"),
    [("backbone", ("neck", "heat", "box", "embedding")), ("detector", ("embedding",)), ("none", ("backbone",))],
)
def test_what_is_frozen_keeps_weights_and_statistics(frozen: str, learned: tuple[str, ...], tmp_path: Path) -> None:
    config = config_for("identity", frozen=frozen, balance="learned")
    before, after = start(config), run(config, tmp_path)
    changed = {name for name, value in after.items() if name in before and not torch.equal(value, before[name])}
    assert changed
    if frozen == "none":
        assert any("running_mean" in name for name in changed)
        assert any(name.startswith("backbone") for name in changed)
    else:
        assert all(name.startswith(learned) for name in changed), changed
        assert all(any(name.startswith(part) for name in changed) for part in learned)


def test_the_published_start_of_what_is_not_frozen() -> None:
    config = config_for("identity", frozen="backbone", reinitialise=True)
    network = build(MODEL)
    before = network.state_dict()["backbone.stem.0.weight"].clone()
    prepare(network, config, classes=3)
    state = network.state_dict()
    assert torch.equal(state["backbone.stem.0.weight"], before)
    assert state["embedding.weight"].std() == pytest.approx(1e-3, rel=0.2)
    assert not state["heat.bias"].any()
    assert network.get_submodule("neck.merge.0.merge.1").momentum == 0.1  # or the variance of 1 would be remembered
    assert network.get_submodule("backbone.stem.1").momentum == 0.03
    assert state["loss_parts.classifier.weight"].shape == (3, 8)


def test_of_hrnet_only_the_last_layer_learns_with_the_heads() -> None:
    model = FairMotModelConfig(input_size=(64, 96), backbone="hrnet_w18", head_width=8, max_detections=10)
    network = build(model).train()
    prepare(network, FairMotTraining(model=model, frozen="backbone"), classes=2)
    learned = {name.rpartition(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in learned} == {"backbone", "hm", "wh", "reg", "id", "loss_parts"}
    assert all(name.startswith("backbone.last_layer") for name in learned if name.startswith("backbone"))
    assert not network.get_submodule("backbone").training
    assert network.get_submodule("backbone.last_layer").training


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "size"), [("dla34", "ltrb"), ("hrnet_w18", "wh")])
def test_networks_of_fairmot_learn_with_a_learned_balance(backbone: str, size: str, tmp_path: Path) -> None:
    model = FairMotModelConfig(
        input_size=(64, 96),
        backbone=backbone,
        size=size,
        head_width=8,
        embedding_size=8,
        max_detections=10,  # type: ignore[arg-type]
    )
    config = FairMotTraining(model=model, steps=2, batch=1, pairs=FRAMES, places=16)
    before, after = start(config), run(config, tmp_path)
    for name in ("hm.2.weight", "wh.2.weight", "reg.2.weight", "id.2.weight"):
        assert not torch.equal(before[name], after[name]), name
    assert {"loss_parts.detection_log_variance", "loss_parts.classifier.weight"} <= after.keys()


def test_frames_without_objects_or_with_one_give_no_nan(tmp_path: Path) -> None:
    blocks = moving_blocks()
    nothing = [dataclasses.replace(f, objects=_rows(f.objects, slice(0, 0))) for f in blocks[:4]]
    single = [dataclasses.replace(f, objects=_rows(f.objects, slice(0, 1))) for f in blocks[4:]]
    for way in ("identity", "euclidean", "contrastive", "triplet_hard"):
        (tmp_path / way).mkdir()
        after = run(config_for(way), tmp_path / way, [SampleSet([*nothing, *single])])
        assert all(value.isfinite().all() for value in after.values())


def _rows(objects: Objects, rows: slice) -> Objects:
    return Objects(objects.boxes[rows], objects.ids[rows], objects.labels[rows])


def test_classes_of_a_classifier_are_those_of_all_sets() -> None:
    first, second = SampleSet(moving_blocks((4, 9, -1))), SampleSet(moving_blocks((4, 5, 6)))
    sets, count = as_classes([first, second], each_box=False)
    assert count == 5
    assert [s.samples[0].objects.ids.tolist() for s in sets] == [[0, 1, -1], [2, 3, 4]]
    sets, count = as_classes([first, second], each_box=True)
    assert count == 2 * 8 * 3
    assert sets[1].samples[1].objects.ids.tolist() == [27, 28, 29]
    stills, count = as_classes([dataclasses.replace(first, still=True)], each_box=False)
    assert count == 24  # nobody is seen twice in stills
    assert stills[0].still


def test_data_without_identities_are_told_where_they_are_the_classes(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"embeddings: got 'identity', .* no object of the data has one; choose a way"
    ):
        run(config_for("identity"), tmp_path, [SampleSet(moving_blocks((-1, -1, -1)))])


def test_frames_are_not_compared_where_no_identity_is_known(tmp_path: Path) -> None:
    unknown = [SampleSet(moving_blocks((-1, -1, -1)))]
    with pytest.raises(ConfigError, match=r"pairs.reference_range: got 2, .* \(all are -1\); 0 compares two views"):
        run(CONFIG, tmp_path, unknown)
    views = dataclasses.replace(CONFIG, pairs=PairConfig((64, 64), reference_range=0))
    after = run(views, tmp_path, unknown)
    assert not torch.equal(after["embedding.weight"], start(views)["embedding.weight"])


def test_places_of_objects() -> None:
    boxes = np.array([[8.0, 8, 28, 48], [40, 8, 60, 48], [0, 0, 9, 9]])
    objects = Objects(boxes, np.array([5, -1, 8]), np.array([0, 0, IGNORED]))
    found = object_places(objects, (16, 24), 7, False, np.random.default_rng(0))
    order = np.argsort(found.centre[:2])
    assert found.centre[:2][order].tolist() == [7 * 24 + 4, 7 * 24 + 12]
    assert found.identity[:2][order].tolist() == [5, UNKNOWN]
    assert (found.identity[2:] == UNUSED).all() and len(found.identity) == 7
    places = [object_places(objects, (16, 24), 7, True, np.random.default_rng(seed)).centre[:2] for seed in range(20)]
    rows, columns = np.divmod(np.array(places), 24)
    assert rows.min() >= 2 and rows.max() <= 11
    assert len(np.unique(columns)) > 2


def test_two_views_are_mirrored_and_objects_of_frames_are_known_by_overlap() -> None:
    frames = [LabelledImage(f.image, dataclasses.replace(f.objects, ids=np.full(3, -1))) for f in moving_blocks()]
    config = PairConfig((64, 96), scale_range=(1.0, 1.0), reference_range=1, identities="overlap")
    for item in range(4):
        key, other = FramePairs([SampleSet(frames)], config, 0, 9)[item]
        order = {int(i): box[1] for box, i in zip(key.objects.boxes, key.objects.ids, strict=True)}
        for box, identity in zip(other.objects.boxes, other.objects.ids, strict=True):
            assert identity in order
            assert abs(order[int(identity)] - box[1]) < 8  # the blocks are at heights of their own
    views = dataclasses.replace(config, reference_range=0, identities="frame", mirrored=True)
    key, other = FramePairs([SampleSet(frames)], views, 0, 9)[0]
    across = [[o.objects.boxes[o.objects.ids == i][0, 0] for i in (0, 1, 2)] for o in (key, other)]
    assert (np.sign(np.diff(across[0])) == -np.sign(np.diff(across[1]))).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embeddings": "softmax"}, "embeddings: got 'softmax', expected one of quasi_dense"),
        ({"embeddings": "cosine", "margin": 0.0}, "margin: got 0.0, expected a positive number"),
        ({"embeddings": "contrastive"}, "pairs.identities: got 'labelled', expected frame or overlap"),
        ({"embeddings": "each_box", "pairs": VIEWS}, "pairs.identities: got 'frame', expected labelled"),
        ({"projection": True}, "projection: got True, expected false but with one of contrastive"),
        ({"balance": "learned"}, "balance: got 'learned', expected weights with `embeddings: quasi_dense`"),
        ({"embeddings": "cosine", "margin": 10}, "margin: got 10, expected a number below 2 with"),
        ({"embeddings": "identity", "margin": 3}, "margin: got 3, expected none but with `embeddings: euclidean"),
        ({"reinitialise": True}, "reinitialise: got True, expected false with `frozen: none`"),
        ({"objects": 0}, "objects: got 0, expected a positive number"),
        ({"frozen": "all"}, "frozen: got 'all', expected one of none, backbone, detector"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OneShotTraining(**settings)


def test_fairmot_learns_the_box_of_every_object_at_its_centre_alone() -> None:
    config, random = FairMotTraining(), np.random.default_rng(0)
    left, top = (corner.ravel() for corner in np.meshgrid(np.arange(16) * 60.0 + 8, np.arange(5) * 120.0 + 4))
    boxes = np.stack([left, top, left + 50, top + 110], axis=1)
    objects = Objects(boxes, np.arange(80), np.zeros(80, np.int64))
    frame = LabelledImage(np.zeros((608, 1088, 3), np.uint8), objects)
    found = centre_targets(frame, 1, config.places, config.places_per_object, random)
    cells = found.index[found.identity >= 0]
    middles = (boxes[:, :2] + boxes[:, 2:]).astype(int) // 8
    assert sorted(cells.tolist()) == sorted((middles[:, 1] * 272 + middles[:, 0]).tolist())


def test_views_of_one_frame_have_no_other_frame() -> None:
    with pytest.raises(ConfigError, match="reference_range: got 20, expected 0 with `identities: frame`"):
        PairConfig(identities="frame")


@pytest.mark.parametrize(("name", "epochs", "images"), [("fairmot", 30, 12), ("clmot", 30, 12), ("pairwise", 10, 8)])
def test_published_recipes(name: str, epochs: float, images: int) -> None:
    recipe = read_recipe(Path(__file__).parents[3] / "config" / "training" / f"{name}.yaml")
    assert isinstance(recipe, FairMotTraining)
    assert (recipe.learning_rate, recipe.weight_decay, recipe.warm_up, recipe.epochs) == (1e-4, 0.0, 0, epochs)
    assert (recipe.pairs.rotation, recipe.pairs.shear) == (5, 2)
    assert make_schedule(recipe, 3816).steps == epochs * 3816 / images
    assert isinstance(build(recipe.model), nn.Module)
