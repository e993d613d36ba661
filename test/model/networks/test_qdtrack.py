from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from qdtrack_model.config import ConfigError, OneShotConfig, QDTrackConfig
from qdtrack_model.networks import OneShotNetwork, QDTrack, build
from qdtrack_model.networks.fpn import FeaturePyramid
from qdtrack_model.networks.resnet import ResNet
from qdtrack_model.networks.roi_heads import RoiHead
from qdtrack_model.networks.rpn import Proposals, RpnHead, level_anchors

TINY = QDTrackConfig(
    classes=("pedestrian", "vehicle"), input_size=(64, 96), depth=18, channels=32, head_width=32, embedding_size=16,
    proposals_per_level=60, proposals=80, max_detections=20, score_floor=0.0, style="pytorch", channel_order="rgb",
    mean=(123.675, 116.28, 103.53), deviation=(58.395, 57.12, 57.375), clip_boxes=True,
)  # fmt: skip


def tiny(config: QDTrackConfig = TINY) -> QDTrack:
    """A network whose fresh heads have been made decided, so that detections differ in score."""
    torch.manual_seed(0)
    network = QDTrack(config).eval()
    for name, parameter in network.named_parameters():
        if any(part in name for part in ("rpn_cls", "rpn_reg", "fc_cls", "fc_reg", "fc_embed")):
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def images(count: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 64, 96, 3), dtype=torch.uint8, generator=generator)


def test_anchors_stand_on_the_corners_of_cells() -> None:
    anchors = level_anchors(2, 3, stride=16)
    assert anchors.shape == (2 * 3 * 3, 4)
    expected = []
    for y in range(2):
        for x in range(3):
            for ratio in (0.5, 1.0, 2.0):
                width, height = 128 / math.sqrt(ratio), 128 * math.sqrt(ratio)
                expected.append([16 * x - width / 2, 16 * y - height / 2, 16 * x + width / 2, 16 * y + height / 2])
    np.testing.assert_allclose(anchors, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("depth", "style", "channels", "parameters"),
    [
        (18, "pytorch", [64, 128, 256, 512], 11_176_512),  # torchvision's numbers without the classifier
        (34, "pytorch", [64, 128, 256, 512], 21_284_672),
        (50, "caffe", [256, 512, 1024, 2048], 23_508_032),
        (101, "pytorch", [256, 512, 1024, 2048], 42_500_160),
    ],
)
def test_backbones(depth: int, style: str, channels: list[int], parameters: int) -> None:
    network = ResNet(depth, style)  # type: ignore[arg-type]
    assert network.channels == channels
    assert sum(p.numel() for p in network.parameters()) == parameters
    with torch.no_grad():
        shapes = [tuple(x.shape) for x in network(torch.zeros(1, 3, 64, 96))]
    assert shapes == [(1, c, 64 // s, 96 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)]


def test_the_styles_differ_in_where_they_stride() -> None:
    strides = {}
    for style in ("caffe", "pytorch"):
        block = ResNet(50, style).get_submodule("layer2.0")  # type: ignore[arg-type]
        strides[style] = [block.conv1.stride[0], block.conv2.stride[0], block.downsample[0].stride[0]]
    assert strides == {"caffe": [2, 1, 2], "pytorch": [1, 2, 2]}


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_keeps_its_statistics_in_training(frozen: bool) -> None:
    network = ResNet(18, frozen_norm=frozen).train()
    before = network.bn1.running_mean.clone()
    network(torch.randn(2, 3, 64, 64))
    assert torch.equal(network.bn1.running_mean, before) == frozen


def test_the_pyramid_adds_what_is_above() -> None:
    neck = FeaturePyramid([3, 3, 3, 3], 2)
    maps = [torch.randn(1, 3, 2**i, 3 * 2**i) for i in (4, 3, 2, 1)]
    pyramid = neck(maps)
    laterals = [conv(x) for conv, x in zip(neck.lateral_convs, maps, strict=True)]
    above = laterals[2] + laterals[3].repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(pyramid[2], neck.fpn_convs[2](above))
    torch.testing.assert_close(pyramid[4], F.max_pool2d(pyramid[3], 1, stride=2))


def test_proposals_are_suppressed_within_their_level_only() -> None:
    # Two levels say the same box; each level says it twice.
    head = RpnHead(32, per_level=4, kept=5, nms_iou=0.7)
    objectness = [torch.full((1, 3, 1, 1), -5.0) for _ in range(5)]
    deltas = [torch.zeros(1, 12, 1, 1) for _ in range(5)]
    objectness[1][0, :, 0, 0] = torch.tensor([1.0, 3.0, 2.0])
    objectness[2][0, 1, 0, 0] = 4.0
    deltas[1][0, :, 0, 0] = torch.tensor([0, 0, -math.log(2) / 2, math.log(2) / 2] + [0.0] * 8)  # the wide one, square
    deltas[2][0, 6:8, 0, 0] = -math.log(2)
    found = head.propose(objectness, deltas, clip=None)
    square = [-32.0, -32.0, 32.0, 32.0]
    torch.testing.assert_close(found.boxes[0, :2], torch.tensor([square, square]), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.scores[0, :2], torch.tensor([4.0, 3.0]).sigmoid())
    assert found.scores[0, 2] == pytest.approx(torch.tensor(2.0).sigmoid())  # then the tall one, not the repetition


def test_background_is_the_last_class_and_classes_do_not_suppress_each_other() -> None:
    head = RoiHead(32, 32, classes=2, sampling=2)
    box = torch.tensor([10.0, 10, 50, 50])
    proposals = Proposals(box.repeat(1, 4, 1), torch.tensor([[0.9, 0.8, 0.7, 0.0]]))
    logits = torch.tensor([[[3.0, 2.5, 0.0], [1.0, 0.0, 9.0], [1.0, 0.5, 0.0], [9.0, 0.0, 0.0]]])  # last: padding
    deltas = torch.zeros(1, 4, 2, 4)
    deltas[0, 0, 1] = torch.tensor([1.0, 0, 0, 0])  # class 1 of the first proposal: a tenth to the right
    boxes, scores, labels = head.detect(proposals, logits, deltas, floor=0.05, nms_iou=0.5, count=4, clip=None)
    softmax = logits[0, 0].exp() / logits[0, 0].exp().sum()
    torch.testing.assert_close(scores[0, :2], softmax[:2])
    assert labels[0, :2].tolist() == [0, 1]
    assert boxes[0].tolist()[:2] == [[10, 10, 50, 50], [14, 10, 54, 50]]
    assert scores[0, 2:].tolist() == [0, 0]  # suppressed, background, or no proposal at all
    assert boxes[0, 2:].abs().sum() == 0


def test_forward_gives_fixed_shapes_best_first() -> None:
    network = tiny()
    batch = images(2)
    with torch.no_grad():
        boxes, scores, labels, embeddings = network(batch)
        alone = network(batch[1:])
    assert (boxes.shape, scores.shape, embeddings.shape) == ((2, 20, 4), (2, 20), (2, 20, 16))
    assert labels.dtype == torch.int64
    assert (scores.diff(dim=1) <= 0).all()
    assert (scores > 0).sum() > 10  # the test would say nothing of an empty result
    assert boxes.min() >= 0 and boxes[..., 2].max() <= 96 and boxes[..., 3].max() <= 64
    for together, single in zip((boxes, scores, labels, embeddings), alone, strict=True):
        torch.testing.assert_close(together[1], single[0], rtol=1e-3, atol=1e-3)


def test_stages_end_in_what_forward_gives() -> None:
    network = tiny()
    with torch.no_grad():
        stages = network.stages(images(), boxes=torch.tensor([[[3.0, 4, 40, 50]]]))
        for found, name in zip(network(images()), ("s", "_scores", "_labels", "_embeddings"), strict=True):
            torch.testing.assert_close(found, stages[f"detection{name}"])
    assert stages["p6"].shape == (1, 32, 1, 2)
    assert stages["rpn_deltas_p2"].shape == (1, 12, 16, 24)
    assert stages["box_deltas"].shape == (1, 1, 2, 4)
    assert stages["box_roi_features"].shape == (1, 1, 32, 7, 7)


def test_normalisation_happens_in_the_network() -> None:
    rgb = tiny()
    config = dataclasses.replace(TINY, channel_order="bgr", mean=TINY.mean[::-1], deviation=TINY.deviation[::-1])
    bgr = QDTrack(config).eval()
    bgr.load_state_dict(rgb.state_dict())
    with torch.no_grad():
        bgr.backbone.conv1.weight.copy_(rgb.backbone.conv1.weight.flip(1))
        torch.testing.assert_close(bgr.pyramid(images())[0], rgb.pyramid(images())[0], rtol=1e-4, atol=1e-4)
        plain = images().permute(0, 3, 1, 2).flip(1).float()
        plain = (plain - torch.tensor(TINY.mean)[:, None, None]) / torch.tensor(TINY.deviation)[:, None, None]
        torch.testing.assert_close(rgb.neck(rgb.backbone(plain))[0], rgb.pyramid(images())[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("objects", "complete"), [(90, True), (3, False)])
def test_the_best_candidates_of_all_classes_give_the_first_detections_of_all_candidates(
    objects: int, complete: bool, benchmark: Callable[[str], ModuleType]
) -> None:
    # 90 proposals of 60 classes: 5400 candidates, of which 3840 take part.
    random = np.random.default_rng(0)
    corners = random.uniform(0, 500, (objects, 2))
    places = np.concatenate([corners, corners + random.uniform(30, 90, (objects, 2))], axis=1)[np.arange(90) % objects]
    proposals = Proposals(torch.from_numpy(places[None].astype(np.float32)), torch.ones(1, 90))
    logits, deltas = torch.from_numpy(random.normal(0, 2, (1, 90, 61))).float(), torch.zeros(1, 90, 60, 4)
    logits += 24 * torch.linspace(0, 1, 61)  # some classes have most of the best candidates
    boxes, scores, labels = RoiHead(32, 8, 60, 1).detect(
        proposals, logits, deltas, floor=0.0, nms_iou=0.5, count=170, clip=None
    )
    expected = benchmark("candidates").of_all(
        logits[0].softmax(dim=-1)[:, :-1].numpy(), np.repeat(places[:, None], 60, axis=1), 0.0, 0.5, 170
    )
    kept = int((scores > 0).sum())
    assert (kept == 170) == complete
    for column, whole in zip((boxes, scores, labels), expected, strict=True):
        assert len(whole) == 170
        np.testing.assert_allclose(column[0, :kept], whole[:kept], rtol=1e-5)


def test_build_takes_both_architectures() -> None:
    one_shot = OneShotConfig(input_size=(64, 96), width=0.125, head_width=16, embedding_size=8)
    assert (type(build(TINY)), type(build(one_shot))) == (QDTrack, OneShotNetwork)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": (60, 96)}, "input_size"),
        ({"depth": 49}, "depth"),
        ({"channels": 40}, "channels"),
        ({"proposals": 4000, "proposals_per_level": 1000}, "proposals"),
        ({"max_detections": 81}, "max_detections"),
        ({"sampling": -1}, "sampling"),
        ({"deviation": (0.0, 1.0, 1.0)}, "deviation"),
    ],
)
def test_bad_values_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **change)
