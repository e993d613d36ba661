"""The detection losses against sums over boxes in plain Python."""

import math

import pytest
import torch
from torch.nn import functional as F

from qdtrack_model.networks.roi_heads import RoiHead
from qdtrack_model.networks.rpn import Proposals, level_anchors
from qdtrack_model.training.qdtrack.detection import REGIONS, SMOOTH, Truth, roi_losses, rpn_losses, with_truth

SHAPES = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
EVERYTHING = 10**6  # so many samples that all take part


def truth(boxes: list[list[float]], labels: list[int] | None = None, ignored: list[list[float]] | None = None) -> Truth:
    labels = labels if labels is not None else [0] * len(boxes)
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    regions = torch.tensor(ignored or [], dtype=torch.float32).reshape(-1, 4)
    return Truth(rows, torch.tensor(labels, dtype=torch.int64), torch.arange(len(boxes)), regions)


def maps(channels: int, seed: int, batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, channels, *shape, generator=generator).requires_grad_() for shape in SHAPES]


def iou(a: list[float], b: list[float]) -> float:
    width, height = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    return width * height / (sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)) - width * height)


def moves(box: list[float], goal: list[float], deviations: tuple[float, ...]) -> list[float]:
    """The deltas from box to goal, from the definition."""
    width, height = box[2] - box[0], box[3] - box[1]
    plain = [
        ((goal[0] + goal[2]) - (box[0] + box[2])) / 2 / width,
        ((goal[1] + goal[3]) - (box[1] + box[3])) / 2 / height,
        math.log((goal[2] - goal[0]) / width),
        math.log((goal[3] - goal[1]) / height),
    ]
    return [value / deviation for value, deviation in zip(plain, deviations, strict=True)]


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(image) for image in range(count)]


def test_anchor_losses_are_sums_over_boxes_divided_by_all_samples() -> None:
    objectness, deltas = maps(3, 0), maps(12, 1)
    truths = [truth([[10, 10, 50, 52], [60, 20, 84, 60]]), truth([[30, 5, 62, 37]])]
    # More than half of the samples may not be positive: with this number all anchors take part.
    terms = rpn_losses(objectness, deltas, truths, EVERYTHING, generators(len(truths)))
    classes, boxes, samples = 0.0, 0.0, 0
    for image, goal in enumerate(truths):
        rows = []  # anchor, logit, deltas
        for level, (height, width) in enumerate(SHAPES):
            anchors = iter(level_anchors(height, width, 4 * 2**level).tolist())
            for y in range(height):
                for x in range(width):
                    for a in range(3):
                        own = deltas[level][image, 4 * a : 4 * a + 4, y, x].tolist()
                        rows.append((next(anchors), objectness[level][image, a, y, x].item(), own))
        table = [[iou(anchor, g) for g in goal.boxes.tolist()] for anchor, _, _ in rows]
        most = [max(column) for column in zip(*table, strict=True)]
        for (anchor, logit, own), row in zip(rows, table, strict=True):
            owner = row.index(max(row)) if max(row) >= 0.7 else None
            for g, value in enumerate(row):
                if value == most[g] >= 0.3:
                    owner = g
            if owner is None and max(row) >= 0.3:
                continue
            samples += 1
            probability = 1 / (1 + math.exp(-logit))
            classes -= math.log(probability if owner is not None else 1 - probability)
            if owner is not None:
                for value, wanted in zip(own, moves(anchor, goal.boxes[owner].tolist(), (1,) * 4), strict=True):
                    error = abs(value - wanted)
                    boxes += error**2 / 2 / SMOOTH if error < SMOOTH else error - SMOOTH / 2
    assert boxes > 0
    assert terms["rpn_class"].item() == pytest.approx(classes / samples, rel=1e-4)
    assert terms["rpn_box"].item() == pytest.approx(boxes / samples, rel=1e-4)


@pytest.mark.parametrize(
    "truths",
    [[truth([]), truth([])], [truth([], ignored=[[-999, -999, 999, 999]])] * 2, [truth([[10, 10, 50, 52]])] * 2],
)
def test_anchor_losses_and_gradients_are_finite(truths: list[Truth]) -> None:
    objectness, deltas = maps(3, 0), maps(12, 1)
    terms = rpn_losses(objectness, deltas, truths, 256, generators(len(truths)))
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(x.grad is not None and x.grad.isfinite().all() for x in [*objectness, *deltas])
    learned = sum(int((x.grad != 0).sum()) for x in objectness if x.grad is not None)
    assert learned == (0 if len(truths[0].ignored) else 512)


def head_and_maps(classes: int = 2) -> tuple[RoiHead, list[torch.Tensor]]:
    torch.manual_seed(0)
    head = RoiHead(8, 16, classes, sampling=1)
    torch.nn.init.normal_(head.bbox_head.fc_cls.weight)
    torch.nn.init.normal_(head.bbox_head.fc_reg.weight)
    return head, maps(8, 2)


def test_region_losses_are_sums_over_boxes_divided_by_all_samples() -> None:
    head, pyramid = head_and_maps()
    truths = [truth([[10, 10, 40, 50], [50, 20, 80, 60]], [1, 0]), truth([[30, 5, 62, 37]], [1])]
    proposals = Proposals(
        torch.tensor(
            [[[12.0, 10, 40, 52], [52, 20, 82, 64], [0, 0, 20, 20]], [[0, 40, 30, 64], [0, 0, 0, 0], [0, 0, 0, 0]]]
        ),
        torch.tensor([[0.9, 0.8, 0.7], [0.9, 0, 0]]),
    )
    terms = roi_losses(head, pyramid, proposals, truths, EVERYTHING, generators(len(truths)))
    classes, boxes, samples = 0.0, 0.0, 0
    for image, goal in enumerate(truths):
        regions = with_truth(proposals, image, goal)
        logits, deltas = head([x[image : image + 1] for x in pyramid], regions[None])
        for row, region in enumerate(regions.tolist()):
            best = [iou(region, g) for g in goal.boxes.tolist()]
            owner = best.index(max(best)) if max(best) >= REGIONS.positive else None
            label = 2 if owner is None else int(goal.labels[owner])  # background is the last
            classes -= F.log_softmax(logits[0, row], dim=0)[label].item()
            samples += 1
            if owner is not None:
                wanted = moves(region, goal.boxes[owner].tolist(), (0.1, 0.1, 0.2, 0.2))
                boxes += sum(abs(a - b) for a, b in zip(deltas[0, row, label].tolist(), wanted, strict=True))
    assert samples == 3 + 2 + 1 + 1, "rows without a proposal take no part"
    assert terms["roi_class"].item() == pytest.approx(classes / samples, rel=1e-4)
    assert terms["roi_box"].item() == pytest.approx(boxes / samples, rel=1e-4)


def test_region_losses_are_finite_without_positives_and_without_anything() -> None:
    head, pyramid = head_and_maps()
    nothing = Proposals(torch.zeros(2, 3, 4), torch.zeros(2, 3))
    background = Proposals(torch.tensor([[[0.0, 40, 30, 64]]] * 2), torch.ones(2, 1))
    for proposals in (nothing, background):
        terms = roi_losses(head, pyramid, proposals, [truth([]), truth([])], 512, generators(2))
        sum(terms.values()).backward()
        assert terms["roi_box"].item() == 0
        assert terms["roi_class"].isfinite()
        assert (terms["roi_class"].item() > 0) == (proposals is background)
    gradients = [p.grad for p in head.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)


def test_a_quarter_of_the_regions_is_positive_at_most() -> None:
    _, pyramid = head_and_maps()
    seen: list[torch.Tensor] = []

    class Spy(RoiHead):
        def forward(self, pyramid: list[torch.Tensor], boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append(boxes)
            return super().forward(pyramid, boxes)

    corners = torch.tensor([[0.0, 0.0, 20.0, 20.0]]) + torch.arange(60)[:, None] * 0.5
    proposals = Proposals(corners.expand(2, -1, -1), torch.ones(2, 60))
    goals = [truth(corners[:16].tolist())] * 2
    roi_losses(Spy(8, 16, 2, 1), pyramid, proposals, goals, 32, generators(len(goals)))
    assert seen[0].shape == (2, 32, 4)
    overlapping = [max(iou(box, g) for g in corners[:16].tolist()) >= 0.5 for box in seen[0][0].tolist()]
    assert sum(overlapping) == 8
