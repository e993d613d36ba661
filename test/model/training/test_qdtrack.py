"""QDTrack's training step: regions and their identities, what learns from what, freezing, and a tiny scene."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.config import ConfigError, QDTrackConfig
from qdtrack_model.data.pairs import FramePairs, PairConfig
from qdtrack_model.data.samples import IGNORED, LabelledImage, Objects, SampleSet
from qdtrack_model.networks import QDTrack
from qdtrack_model.networks.resnet import BatchNorm
from qdtrack_model.training import qdtrack
from qdtrack_model.training.config import QDTrackTraining
from qdtrack_model.training.loop import make_optimizer, total, train
from qdtrack_model.training.qdtrack import RegionPairs, collate, freeze, losses
from qdtrack_model.training.qdtrack.detection import Truth
from qdtrack_model.training.qdtrack.quasi_dense import Regions, choose_regions, only_positives, same_identity
from qdtrack_model.training.schedule import make_schedule

from .scene import moving_blocks, write_folder

RECIPES = Path(__file__).parents[3] / "config" / "training"
NOTHING = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))
MODEL = QDTrackConfig(
    classes=("pedestrian",), input_size=(64, 96), depth=18, style="pytorch", frozen_norm=False, channel_order="rgb",
    mean=(123.675, 116.28, 103.53), deviation=(58.395, 57.12, 57.375), channels=32, head_width=64, embedding_size=32,
    sampling=1, clip_boxes=True, proposals_per_level=60, proposals=60, max_detections=20,
)  # fmt: skip
CONFIG = QDTrackTraining(
    model=MODEL, steps=4, batch=1, pairs=PairConfig((64, 96), (1.1, 1.2), reference_range=3), warm_up=2,
    frozen_stages=0, anchor_samples=64, box_samples=32, region_samples=32,
)  # fmt: skip


def network(config: QDTrackConfig = MODEL) -> QDTrack:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return QDTrack(config)


def batch_of(frames: list[LabelledImage], count: int = 1) -> qdtrack.RegionBatch:
    pairs = RegionPairs(FramePairs([SampleSet(frames)], CONFIG.pairs, 0, count), seed=0)
    return collate([pairs[i] for i in range(count)])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def truth(count: int = 3, ignored: int = 0) -> Truth:
    """Objects 0, 1, ... side by side, then ignored regions."""
    boxes = torch.tensor([[40.0 * i, 0, 40.0 * i + 20, 40] for i in range(count + ignored)]).reshape(-1, 4)
    return Truth(boxes[:count], torch.zeros(count, dtype=torch.int64), torch.arange(count), boxes[count:])


def jittered(boxes: torch.Tensor, times: int, most: float) -> torch.Tensor:
    moves = (torch.rand(times, len(boxes), 1, generator=generator()) - 0.5) * 2 * most
    return (boxes + moves * torch.tensor([1.0, 0, 1, 0])).reshape(-1, 4)


# Regions and identities


def test_the_object_of_number_zero_is_one_like_any_other() -> None:
    key = Regions(torch.zeros(3, 4), torch.tensor([0, 1, 7]), torch.tensor([True, True, True]))
    reference = Regions(torch.zeros(4, 4), torch.tensor([1, 0, 0, 0]), torch.tensor([True, True, True, False]))
    expected = [[False, True, True, False], [True, False, False, False], [False] * 4]
    assert same_identity(key, reference).tolist() == expected


def test_regions_of_a_frame() -> None:
    goal = truth(3, ignored=1)
    far = torch.tensor([[40.0 * i, 60, 40.0 * i + 20, 90] for i in range(40)])
    near = jittered(goal.boxes, 100, 3)  # IoU .73 or more
    between = goal.boxes + torch.tensor([6.0, 0, 6, 0])  # IoU .54
    candidates = torch.cat([goal.boxes, near, between, jittered(goal.ignored, 20, 3), far])
    regions = choose_regions(candidates, goal, QDTrackTraining(), generator())
    positives = only_positives(regions)
    assert len(positives.boxes) == 128
    assert len(regions.boxes) == 128 + 40
    assert torch.bincount(positives.ids).min() >= 40, "objects have nearly equal shares"
    for box, number in zip(positives.boxes, positives.ids, strict=True):
        assert abs(box[0] - goal.boxes[number][0]) <= 3
    assert (regions.boxes[128:, 1] == 60).all(), "neither the ignored nor those between count as background"
    few = choose_regions(torch.cat([goal.boxes, far]), goal, QDTrackTraining(), generator())
    assert len(few.boxes) == 3 + 9, "at most three negatives to a positive"


@pytest.mark.parametrize("matching", ["quasi_dense", "sparse"])
def test_without_objects_there_are_no_rows_and_no_columns_that_match(matching: str) -> None:
    config = QDTrackTraining(matching=matching)  # type: ignore[arg-type]
    for goal in (truth(0), truth(0, ignored=2)):
        regions = choose_regions(jittered(truth(3).boxes, 10, 3), goal, config, generator())
        assert len(only_positives(regions).boxes) == 0
        assert same_identity(only_positives(regions), regions).shape == (0, len(regions.boxes))


def test_sparse_matching_knows_the_ground_truth_alone() -> None:
    goal = truth(3)
    candidates = torch.cat([goal.boxes, jittered(goal.boxes, 50, 3)])
    regions = choose_regions(candidates, goal, QDTrackTraining(matching="sparse"), generator())
    assert torch.equal(regions.boxes, goal.boxes)
    assert torch.equal(same_identity(regions, regions), torch.eye(3, dtype=torch.bool))


@pytest.mark.parametrize("matching", ["quasi_dense", "sparse"])
def test_embeddings_learn_nothing_from_regions_of_unknown_identity(matching: str) -> None:
    whole = truth(3)
    goal = dataclasses.replace(whole, ids=torch.tensor([-1, 0, -1]))
    near, far = jittered(whole.boxes, 30, 3), whole.boxes + torch.tensor([0.0, 60, 0, 60])
    config = QDTrackTraining(matching=matching)  # type: ignore[arg-type]
    regions = choose_regions(torch.cat([whole.boxes, near, far]), goal, config, generator())
    assert regions.ids[regions.positive].unique().tolist() == [0]
    assert (regions.boxes[regions.positive][:, 0] - whole.boxes[1, 0]).abs().max() <= 3
    assert (regions.boxes[~regions.positive][:, 1] == 60).all(), "nor are they background"


def test_pairs_with_other_numbers_of_objects_are_one_batch() -> None:
    frames = moving_blocks()[:1]
    empty = LabelledImage(frames[0].image, NOTHING)
    mixed = LabelledImage(frames[0].image, dataclasses.replace(frames[0].objects, labels=np.array([0, IGNORED, 0])))
    batch = collate([(frames[0], empty, 5), (mixed, frames[0], 6)])
    assert [len(batch.truth(i).boxes) for i in range(4)] == [3, 0, 2, 3]
    assert [len(batch.truth(i).ignored) for i in range(4)] == [0, 0, 1, 0]
    assert batch.truth(2).ids.tolist() == [0, 2]
    np.testing.assert_allclose(batch.truth(2).ignored, frames[0].objects.boxes[1:2])


# The step


@pytest.mark.parametrize("freeze_detector", [False, True])
@pytest.mark.parametrize("matching", ["quasi_dense", "sparse"])
@pytest.mark.parametrize("labels", [0, IGNORED, None])
def test_losses_and_gradients_are_finite(matching: str, labels: int | None, freeze_detector: bool) -> None:
    config = dataclasses.replace(CONFIG, matching=matching, freeze_detector=freeze_detector)
    frames = [
        LabelledImage(
            f.image,
            dataclasses.replace(f.objects, labels=np.full(3, labels)) if labels is not None else NOTHING,
        )
        for f in moving_blocks()
    ]
    net = network().train()
    terms = losses(net, batch_of(frames, 4), config)
    assert terms.keys() == config.weights.keys()
    assert all(term.isfinite() and term.ndim == 0 for term in terms.values())
    total(terms, config).backward()
    for name, p in net.named_parameters():
        learns = name.startswith("embedding_head.") or not freeze_detector
        assert p.grad is not None if learns else True, f"processes that train together wait for the gradient of {name}"
        assert p.grad is None or p.grad.isfinite().all()
    learned = labels == 0
    for name in terms.keys() & {"rpn_box", "contrastive", "auxiliary"}:
        assert (terms[name].item() > 0) == learned, name


@pytest.mark.parametrize("labels", [0, IGNORED])
def test_a_frozen_detector_learns_embeddings_from_views_of_one_frame(labels: int) -> None:
    pairs = dataclasses.replace(CONFIG.pairs, reference_range=0, identities="frame")
    config = dataclasses.replace(CONFIG, matching="within_frame", freeze_detector=True, pairs=pairs)
    frames = [
        LabelledImage(f.image, dataclasses.replace(f.objects, labels=np.full(3, labels))) for f in moving_blocks()
    ]
    net = network().train()
    freeze(net, config)
    terms = losses(net, batch_of(frames, 4), config)
    assert terms.keys() == config.weights.keys()
    assert (terms["contrastive"].item() > 0) == (labels == 0)
    assert terms["auxiliary"].item() == 0
    total(terms, config).backward()
    for name, p in net.named_parameters():
        assert (p.grad is not None and bool(p.grad.isfinite().all())) == name.startswith("embedding_head."), name


def test_views_of_one_frame_need_pairs_of_one_frame() -> None:
    with pytest.raises(ConfigError, match=r"pairs.identities: got 'labelled', expected frame or overlap"):
        QDTrackTraining(matching="within_frame")


@pytest.mark.parametrize("reference_range", [0, 3])
def test_unknown_identities_teach_detection_and_within_one_frame_embeddings(reference_range: int) -> None:
    net, config = network().train(), dataclasses.replace(CONFIG.pairs, reference_range=reference_range)

    def terms(*ids: int) -> dict[str, torch.Tensor]:
        pairs = RegionPairs(FramePairs([SampleSet(moving_blocks(ids))], config, 0, 2), seed=0)
        return losses(net, collate([pairs[0], pairs[1]]), CONFIG)

    known, unknown = terms(0, 1, 2), terms(-1, -1, -1)
    for name in known:
        learned = reference_range == 0 or name not in ("contrastive", "auxiliary")
        assert unknown[name].item() == pytest.approx(known[name].item() if learned else 0, rel=1e-5), name


def test_a_class_that_is_not_labelled_gets_no_gradient_from_background() -> None:
    torch.manual_seed(0)
    net = network(dataclasses.replace(MODEL, classes=("block", "other"))).train()
    whole = {"open_boxes": np.array([[-500.0, -500, 500, 500]]), "open_labels": np.array([1])}
    frames = [LabelledImage(f.image, dataclasses.replace(NOTHING, **whole)) for f in moving_blocks()]
    terms = losses(net, batch_of(frames, 2), CONFIG)
    (bias,) = torch.autograd.grad(terms["roi_class"], [net.roi_head.bbox_head.fc_cls.bias], retain_graph=True)
    assert bias[1] == 0 and bias[0] > 0 > bias[2], "background competes with the labelled class alone"
    assert terms["rpn_class"] == 0, "any anchor may show what is not labelled"
    labelled = losses(net, batch_of([LabelledImage(f.image, NOTHING) for f in frames], 2), CONFIG)
    assert labelled["rpn_class"] > 0


def test_the_reference_frame_teaches_through_embeddings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network().train()
    torch.nn.init.normal_(net.embedding_head.fc_embed.weight)
    levels: list[torch.Tensor] = []
    real = net.pyramid

    def watched(images: torch.Tensor) -> list[torch.Tensor]:
        levels[:] = real(images)
        return list(levels)

    monkeypatch.setattr(net, "pyramid", watched)
    terms = losses(net, batch_of(moving_blocks(), 4), CONFIG)

    def reaches(name: str) -> tuple[bool, bool]:
        """Whether the term has a gradient at the pyramid of key and of reference frames."""
        gradients = torch.autograd.grad(terms[name], levels, retain_graph=True, allow_unused=True)
        given = [g for g in gradients if g is not None]
        return any(bool((g[0::2] != 0).any()) for g in given), any(bool((g[1::2] != 0).any()) for g in given)

    for name in ("rpn_class", "rpn_box", "roi_class", "roi_box"):
        assert reaches(name) == (True, False), name
    for name in ("contrastive", "auxiliary"):
        assert reaches(name) == (True, True), name
    (gradient,) = torch.autograd.grad(terms["contrastive"], [net.backbone.conv1.weight])
    assert (gradient != 0).any()


def test_the_same_batch_gives_the_same_losses() -> None:
    net, batch = network().train(), batch_of(moving_blocks())
    first, second = (losses(net, batch, CONFIG) for _ in range(2))
    for name in first:
        assert first[name].item() == pytest.approx(second[name].item(), rel=1e-5), name


# Freezing


def step_once(net: QDTrack, config: QDTrackTraining) -> set[str]:
    """The tensors of the network that a step changes."""
    net.train()
    freeze(net, config)
    optimizer = make_optimizer(net, dataclasses.replace(config, learning_rate=0.5, weight_decay=0.1))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    total(losses(net, batch_of(moving_blocks()), config), config).backward()
    optimizer.step()
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}


def test_stem_and_first_stage_keep_weights_and_statistics() -> None:
    changed = step_once(network(), dataclasses.replace(CONFIG, frozen_stages=1))
    assert not [name for name in changed if name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1"))]
    assert {"backbone.layer2.0.conv1.weight", "backbone.layer2.0.bn1.running_mean"} <= changed


def test_norms_keep_their_statistics_and_in_caffe_style_all() -> None:
    config = dataclasses.replace(CONFIG, frozen_stages=0)
    changed = step_once(network(dataclasses.replace(MODEL, frozen_norm=True)), config)
    assert not [name for name in changed if "running" in name]
    assert {"backbone.conv1.weight", "backbone.layer2.0.bn1.weight"} <= changed
    changed = step_once(network(dataclasses.replace(MODEL, frozen_norm=True, style="caffe")), config)
    assert not [name for name in changed if name.startswith("backbone") and ("bn" in name or "downsample.1" in name)]
    assert "backbone.conv1.weight" in changed


def test_nothing_is_frozen_in_a_network_from_scratch() -> None:
    net = network()
    freeze(net, CONFIG)
    assert all(p.requires_grad for p in net.parameters())
    assert not any(m.frozen for m in net.modules() if isinstance(m, BatchNorm))


def test_with_a_frozen_detector_the_embedding_head_alone_learns(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, freeze_detector=True, ema_decay=0.5, optimizer="adamw", learning_rate=1e-3)
    before = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    after = run(config, tmp_path / "state.pt").state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in after if name.startswith("embedding_head.")}


def test_a_frozen_detector_works_as_in_inference_and_costs_no_gradients() -> None:
    net = network().train()
    config = dataclasses.replace(CONFIG, freeze_detector=True)
    freeze(net, config)
    assert not any(part.training for part in (net.backbone, net.neck, net.rpn_head, net.roi_head))
    terms = losses(net, batch_of(moving_blocks()), config)
    assert terms.keys() == {"contrastive", "auxiliary"}
    total(terms, config).backward()
    assert {name for name, p in net.named_parameters() if p.grad is not None} == {
        f"embedding_head.{name}" for name, _ in net.embedding_head.named_parameters()
    }


# Recipes and the loop


def test_rate_drops_where_the_recipe_says() -> None:
    schedule = make_schedule(QDTrackTraining(epochs=4, batch=4, warm_up=0, milestones=(2, 3)), images=100)
    assert (schedule.steps, schedule.last) == (100, 100)
    assert [schedule.rate(step) for step in (0, 49, 50, 74, 75, 99)] == pytest.approx(
        [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    )


def run(config: QDTrackTraining, state: Path, resume: bool = False) -> QDTrack:
    return train(config, [SampleSet(moving_blocks())], network(config.model), state, torch.device("cpu"), resume=resume)


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(CONFIG, tmp_path / "whole.pt")
    real, calls = qdtrack.losses, 0

    def interrupted(*args, **kwargs):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(qdtrack, "losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, tmp_path / "half.pt")
    monkeypatch.undo()
    resumed = run(CONFIG, tmp_path / "half.pt", resume=True)
    for (name, first), second in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


RECIPE = """
architecture: qdtrack
model: {classes: [pedestrian], input_size: [64, 96], depth: 18, style: pytorch, frozen_norm: false, channels: 32,
  head_width: 32, embedding_size: 16, sampling: 1, proposals_per_level: 60, proposals: 60, max_detections: 20}
steps: 2
batch: 1
frozen_stages: 0
anchor_samples: 32
box_samples: 16
region_samples: 16
pairs: {crop_size: [64, 64]}
"""


def test_the_command_writes_weights_of_half_the_size_that_can_be_loaded(tmp_path: Path) -> None:
    blocks = write_folder(tmp_path / "blocks")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    output = tmp_path / "tiny.safetensors"
    arguments = [str(tmp_path / "recipe.yaml"), f"data.root={blocks}", "--output", str(output), "--half"]
    assert main(["train", *arguments]) == 0
    checkpoint = checkpoints.load(output)
    loaded = checkpoint.network()
    assert isinstance(loaded, QDTrack)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    parameters = sum(p.numel() for p in loaded.parameters())
    assert output.stat().st_size < 2.1 * parameters
    with torch.no_grad():
        boxes, *_ = loaded(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    assert boxes.isfinite().all()


@pytest.mark.slow
def test_it_learns_to_find_and_to_tell_apart(tmp_path: Path) -> None:
    config = dataclasses.replace(
        CONFIG, steps=70, batch=2, warm_up=10, optimizer="adamw", learning_rate=1e-3, weight_decay=0.01,
        gradient_clip=10.0, ema_decay=0.8,
    )  # fmt: skip
    net = run(config, tmp_path / "state.pt")
    frames = moving_blocks()
    with torch.no_grad():
        boxes, scores, _, embeddings = net(torch.from_numpy(np.stack([frames[2].image, frames[5].image])))
    assert (scores[:, :3] > 0.7).all()
    assert (scores[:, 3:] < 0.7).all()
    order = boxes[:, :3, 0].argsort(dim=1)
    found = torch.stack([boxes[i, order[i]] for i in range(2)])
    np.testing.assert_allclose(found[0], frames[2].objects.boxes, atol=4)
    vectors = torch.stack([embeddings[i, order[i]] for i in range(2)])
    assert (vectors[0] @ vectors[1].T).argmax(dim=1).tolist() == [0, 1, 2]
