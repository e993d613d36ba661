"""QDTrack (arXiv 2006.06664): Faster R-CNN on a feature pyramid, and an embedding of every detection.

The names of the parts are those of public checkpoints, so that their keys are this network's own but for a prefix,
see ``checkpoints/public.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qdtrack_model.config import QDTrackConfig
from qdtrack_model.networks.embedding import EmbeddingHead
from qdtrack_model.networks.fpn import FeaturePyramid
from qdtrack_model.networks.resnet import ResNet
from qdtrack_model.networks.roi_heads import RoiHead
from qdtrack_model.networks.rpn import Proposals, RpnHead


class QDTrack(nn.Module):
    """Detector and embedding head; ``forward`` is the whole way from a uint8 image to detections, as it is exported.

    ``pyramid``, ``rpn_head``, ``roi_head`` and ``embedding_head`` are the pieces that training uses, ``detect`` is what
    comes before the embeddings.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: QDTrackConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet(config.depth, config.style, config.frozen_norm)
        self.neck = FeaturePyramid(self.backbone.channels, config.channels)
        self.rpn_head = RpnHead(config.channels, config.proposals_per_level, config.proposals, config.proposal_overlap)
        self.roi_head = RoiHead(config.channels, config.head_width, len(config.classes), config.sampling)
        self.embedding_head = EmbeddingHead(config.channels, config.head_width, config.embedding_size, config.sampling)
        # Part of the configuration, not of the weights.
        self.register_buffer("mean", torch.tensor(config.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(config.deviation).reshape(1, 3, 1, 1), persistent=False)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """uint8 BGR images (B, H, W, 3) -> P2..P6, each (B, channels, H / stride, W / stride)."""
        # Cast first, in float32: TensorRT moves no bytes about, and half precision would blur the subtraction.
        x = images.float().permute(0, 3, 1, 2)
        if self.config.channel_order == "rgb":
            x = x.flip(1)
        x = ((x - self.mean) / self.deviation).to(self.mean.dtype).contiguous(memory_format=torch.channels_last)
        levels: list[Tensor] = self.neck(self.backbone(x))
        return levels

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, H, W, 3) uint8 BGR -> boxes (B, K, 4) in input pixels, scores (B, K), labels (B, K) int64,
        embeddings (B, K, D); K = ``max_detections``, best first; rows without a detection score 0.
        """
        pyramid = self.pyramid(images)
        boxes, scores, labels = self.detect(pyramid, images)
        return boxes, scores, labels, self.embedding_head(pyramid, boxes)

    def embed(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Embeddings (B, N, D) of given objects: images (B, H, W, 3) uint8 BGR, boxes (B, N, 4) in input pixels."""
        embeddings: Tensor = self.embedding_head(self.pyramid(images), boxes)
        return embeddings

    def detect(self, pyramid: list[Tensor], images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and labels of images (B, H, W, 3), as in ``forward``, from their pyramid."""
        clip = self._clip(images)
        objectness, deltas = self.rpn_head(pyramid)
        proposals = self.rpn_head.propose(objectness, deltas, clip)
        return self._classify(pyramid, proposals, clip)

    def stages(self, images: Tensor, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """Every intermediate result by name, to compare with another implementation.

        Args:
            images: (B, H, W, 3) uint8 BGR.
            boxes: (B, N, 4) in input pixels, for which the heads are asked too; the results are called ``box_...``.

        Returns:
            ``p2`` .. ``p6``; ``rpn_objectness_p2`` .. (logits) and ``rpn_deltas_p2`` ..; ``proposals``,
            ``proposal_scores``; ``box_logits`` (background last), ``box_deltas`` (B, N, classes, 4),
            ``box_roi_features``, ``box_embeddings``; ``detections``, ``detection_scores``, ``detection_labels``,
            ``detection_embeddings``. All with the batch as the first dimension.
        """
        pyramid = self.pyramid(images)
        objectness, deltas = self.rpn_head(pyramid)
        proposals = self.rpn_head.propose(objectness, deltas, self._clip(images))
        detections, scores, labels = self._classify(pyramid, proposals, self._clip(images))
        result = {f"p{i}": level for i, level in enumerate(pyramid, 2)}
        result |= {f"rpn_objectness_p{i}": level for i, level in enumerate(objectness, 2)}
        result |= {f"rpn_deltas_p{i}": level for i, level in enumerate(deltas, 2)}
        result |= {"proposals": proposals.boxes, "proposal_scores": proposals.scores}
        if boxes is not None:
            result["box_roi_features"] = self.roi_head.features(pyramid, boxes)
            result["box_logits"], result["box_deltas"] = self.roi_head(pyramid, boxes)
            result["box_embeddings"] = self.embedding_head(pyramid, boxes)
        return result | {
            "detections": detections,
            "detection_scores": scores,
            "detection_labels": labels,
            "detection_embeddings": self.embedding_head(pyramid, detections),
        }

    def _clip(self, images: Tensor) -> tuple[int, int] | None:
        return (images.shape[1], images.shape[2]) if self.config.clip_boxes else None

    def _classify(
        self, pyramid: list[Tensor], proposals: Proposals, clip: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.roi_head.detect(
            proposals,
            *self.roi_head(pyramid, proposals.boxes),
            floor=self.config.score_floor,
            nms_iou=self.config.detection_overlap,
            count=self.config.max_detections,
            clip=clip,
        )
