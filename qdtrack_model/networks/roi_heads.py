"""Class and box of each proposal, and the detections of an image (arXiv 1506.01497, 1612.03144)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.networks.box_coding import decode_deltas, nms, take
from qdtrack_model.networks.roi_align import BINS, roi_align
from qdtrack_model.networks.rpn import Proposals

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
# The most pairs of box and class, the best of all, that take part in suppression: TensorRT's limit of top-k. With
# hundreds of classes it may leave fewer detections than are asked for (`benchmarks/candidates.py`).
CANDIDATES = 3840


class BoxHead(nn.Module):
    """Region features (N, C, 7, 7) -> class logits (N, classes + 1), background last, and deltas (N, classes, 4)."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        hidden = [nn.Linear(channels * BINS * BINS, width), nn.Linear(width, width)]
        self.shared_fcs = nn.ModuleList(hidden)
        self.fc_cls = nn.Linear(width, classes + 1)
        self.fc_reg = nn.Linear(width, 4 * classes)
        for layer in hidden:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.normal_(self.fc_reg.weight, std=0.001)
        nn.init.zeros_(self.fc_cls.bias)
        nn.init.zeros_(self.fc_reg.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = features.flatten(1)
        for layer in self.shared_fcs:
            x = F.relu(layer(x))
        return self.fc_cls(x), self.fc_reg(x).unflatten(1, (-1, 4))


class RoiHead(nn.Module):
    """RoIAlign and the box head over given boxes; class-wise suppression.

    Args:
        channels: width of the pyramid.
        width: width of the two hidden layers.
        classes: number of classes without background.
        sampling: see ``roi_align``.
    """

    def __init__(self, channels: int, width: int, classes: int, sampling: int) -> None:
        super().__init__()
        self.sampling = sampling
        self.bbox_head = BoxHead(channels, width, classes)

    def features(self, pyramid: list[Tensor], boxes: Tensor) -> Tensor:
        """Region features (B, K, C, 7, 7) of boxes (B, K, 4), from P2 to P5."""
        return roi_align(pyramid[:4], boxes, self.sampling)

    def forward(self, pyramid: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, K, classes + 1), background last, and deltas (B, K, classes, 4) for boxes (B, K, 4)."""
        batch, count = boxes.shape[:2]
        logits, deltas = self.bbox_head(self.features(pyramid, boxes).flatten(0, 1))
        return logits.unflatten(0, (batch, count)), deltas.unflatten(0, (batch, count))

    def detect(
        self,
        proposals: Proposals,
        logits: Tensor,
        deltas: Tensor,
        *,
        floor: float,
        nms_iou: float,
        count: int,
        clip: tuple[int, int] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The detections of each image, best first.

        Args:
            proposals: K boxes an image.
            logits: (B, K, classes + 1).
            deltas: (B, K, classes, 4).
            floor: detections of at most this score are dropped.
            nms_iou: greatest overlap of two detections of one class.
            count: rows given back; those without a detection score 0 and have a box of zeros.
            clip: (height, width) of the image where boxes end at its border, or None.

        Returns:
            Boxes (B, count, 4), scores (B, count), labels (B, count) int64.
        """
        classes = deltas.shape[2]
        scores = logits.float().softmax(dim=-1)[..., :-1]
        # Every class of every proposal is a candidate of its own.
        scores = (scores * ((scores > floor) & (proposals.scores > 0)[..., None])).flatten(1)
        scores, index = scores.topk(min(CANDIDATES, scores.shape[1]), dim=1)
        row = index // classes
        labels = index - row * classes
        moves = take(deltas.float().flatten(1, 2), index)
        boxes = decode_deltas(take(proposals.boxes, row), moves, DEVIATIONS, clip)
        scores = scores * nms(boxes, scores > 0, nms_iou, labels if classes > 1 else None)
        scores, index = scores.topk(min(count, scores.shape[1]), dim=1)
        boxes = take(boxes, index) * (scores > 0)[..., None]
        return boxes, scores, labels.gather(1, index)
