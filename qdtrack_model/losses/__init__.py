"""Losses: pure functions of tensors, one subject a file, no weight inside."""

from qdtrack_model.losses.auxiliary import auxiliary_cosine
from qdtrack_model.losses.contrastive import multi_positive_contrastive
from qdtrack_model.losses.heatmap import focal_heatmap
from qdtrack_model.losses.iou import generalised_iou

__all__ = ["auxiliary_cosine", "focal_heatmap", "generalised_iou", "multi_positive_contrastive"]
