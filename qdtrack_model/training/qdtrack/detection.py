"""The losses of a two-stage detector (arXiv 1506.01497): objectness and box of anchors, class and box of regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from qdtrack_model.networks import roi_heads, rpn
from qdtrack_model.networks.box_coding import encode_deltas
from qdtrack_model.networks.fpn import STRIDES
from qdtrack_model.networks.roi_heads import RoiHead
from qdtrack_model.networks.rpn import Proposals, level_anchors
from qdtrack_model.training.processes import mean_over_all
from qdtrack_model.training.qdtrack.assignment import NEGATIVE, NEITHER, AssignmentRule, assign
from qdtrack_model.training.qdtrack.sampling import SamplingRule, sample

ANCHORS = AssignmentRule(positive=0.7, negative=0.3, minimum=0.3, low_quality=True)
REGIONS = AssignmentRule(positive=0.5, negative=0.5)
SMOOTH = 1 / 9  # of the anchors' box loss: where the parabola ends


@dataclass(frozen=True, eq=False)
class Truth:
    """What is in one image.

    Args:
        boxes: (G, 4) in pixels.
        labels: (G,) class indices.
        ids: (G,) identities, below 0 where unknown.
        ignored: (I, 4) regions that count for nothing.
        open_boxes: (M, 4) regions in which objects of one class may stand without a box.
        open_labels: (M,) the class of each.
    """

    boxes: Tensor
    labels: Tensor
    ids: Tensor
    ignored: Tensor
    open_boxes: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    open_labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def open_classes(self, boxes: Tensor, count: int) -> Tensor:
        """(N, count) bool: classes of which each of the boxes (N, 4) may show an object that has no box."""
        table = torch.zeros(len(boxes), count, dtype=torch.bool, device=boxes.device)
        centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2  # (N, 1, 2)
        inside = ((centres >= self.open_boxes[:, :2]) & (centres <= self.open_boxes[:, 2:])).all(dim=2)  # (N, M)
        for region, label in enumerate(self.open_labels.tolist()):
            table[:, label] |= inside[:, region]
        return table


def rpn_losses(
    objectness: list[Tensor],
    deltas: list[Tensor],
    truths: list[Truth],
    count: int,
    generators: Sequence[torch.Generator],
) -> dict[str, Tensor]:
    """``rpn_class`` (binary cross-entropy) and ``rpn_box`` (smooth L1), each over the number of sampled anchors.

    An anchor that may show an object without a box, of whatever class, is no background.

    Args:
        objectness: logits (B, 3, H, W) of each level.
        deltas: (B, 12, H, W) of each level.
        truths: of the B images.
        count: anchors sampled of an image, half of them positive.
        generators: of each image, of the CPU.
    """
    batch = len(truths)
    logits = torch.cat([x.permute(0, 2, 3, 1).reshape(batch, -1) for x in objectness], dim=1).float()
    moves = torch.cat([x.permute(0, 2, 3, 1).reshape(batch, -1, 4) for x in deltas], dim=1).float()
    shapes = [(int(x.shape[2]), int(x.shape[3])) for x in objectness]
    anchors = torch.cat([level_anchors(*s, k, logits.device) for s, k in zip(shapes, STRIDES, strict=True)])
    classes, boxes, samples = logits.sum() * 0, moves.sum() * 0, 0
    for i, (truth, generator) in enumerate(zip(truths, generators, strict=True)):
        assigned, best = assign(anchors, truth.boxes, truth.ignored, ANCHORS)
        if len(truth.open_boxes):
            unsure = truth.open_classes(anchors, int(truth.open_labels.max()) + 1).any(dim=1)
            assigned = assigned.masked_fill(unsure & (assigned == NEGATIVE), NEITHER)
        positives, negatives = sample(assigned, best, SamplingRule(count, 0.5), generator)
        samples += len(positives) + len(negatives)
        # softplus(-x) is the cross-entropy of a positive logit, softplus(x) that of a negative one.
        classes = classes + F.softplus(-logits[i, positives]).sum() + F.softplus(logits[i, negatives]).sum()
        wanted = encode_deltas(anchors[positives], truth.boxes[assigned[positives]], rpn.DEVIATIONS)
        boxes = boxes + F.smooth_l1_loss(moves[i, positives], wanted, reduction="sum", beta=SMOOTH)
    terms = {"rpn_class": classes, "rpn_box": boxes}
    return {name: mean_over_all(term / max(samples, 1), samples) for name, term in terms.items()}


def with_truth(proposals: Proposals, image: int, truth: Truth) -> Tensor:
    """The boxes of the ground truth followed by the proposals of an image, (N, 4), without rows that hold none."""
    return torch.cat([truth.boxes, proposals.boxes[image][proposals.scores[image] > 0]])


def roi_losses(
    head: RoiHead,
    pyramid: list[Tensor],
    proposals: Proposals,
    truths: list[Truth],
    count: int,
    generators: Sequence[torch.Generator],
) -> dict[str, Tensor]:
    """``roi_class`` (cross-entropy, background last) and ``roi_box`` (L1 of the own class's deltas), each over the
    number of sampled regions; boxes of the ground truth are among the regions.

    Background that may show an object without a box competes with the other classes alone.

    Args:
        head: the box head.
        pyramid: of the B images.
        proposals: of the B images.
        truths: of the B images.
        count: regions sampled of an image, a quarter of them positive.
        generators: of each image, of the CPU.
    """
    background = head.bbox_head.fc_cls.out_features - 1
    boxes, labels, targets, unsure = [], [], [], []
    for i, (truth, generator) in enumerate(zip(truths, generators, strict=True)):
        regions = with_truth(proposals, i, truth)
        assigned, best = assign(regions, truth.boxes, truth.ignored, REGIONS)
        positives, negatives = sample(assigned, best, SamplingRule(count, 0.25), generator)
        owner = assigned[positives]
        boxes.append(regions[torch.cat([positives, negatives])])
        labels.append(torch.cat([truth.labels[owner], torch.full_like(negatives, background)]))
        wanted = encode_deltas(regions[positives], truth.boxes[owner], roi_heads.DEVIATIONS)
        targets.append(F.pad(wanted, (0, 0, 0, len(negatives))))
        sure = torch.zeros(len(positives), background + 1, dtype=torch.bool, device=regions.device)
        unsure.append(torch.cat([sure, truth.open_classes(regions[negatives], background + 1)]))
    used = pad_sequence([torch.ones_like(x, dtype=torch.bool) for x in labels], batch_first=True)  # (B, K)
    logits, moves = (x.float()[used] for x in head(pyramid, pad_sequence(boxes, batch_first=True)))
    label, target = torch.cat(labels), torch.cat(targets)
    logits = logits.masked_fill(torch.cat(unsure), -torch.inf)
    positive = label != background
    own = moves[positive, label[positive]]  # (P, 4)
    terms = {
        "roi_class": F.cross_entropy(logits, label, reduction="sum"),
        "roi_box": F.l1_loss(own, target[positive], reduction="sum"),
    }
    return {name: mean_over_all(term / max(len(label), 1), len(label)) for name, term in terms.items()}
