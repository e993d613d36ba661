"""Losses: pure functions of tensors, one subject a file, no weight inside."""

from qdtrack_model.losses.auxiliary import auxiliary_cosine
from qdtrack_model.losses.balance import balance
from qdtrack_model.losses.contrastive import multi_positive_contrastive
from qdtrack_model.losses.heatmap import focal_heatmap
from qdtrack_model.losses.identity import embedding_scale, identity_classification
from qdtrack_model.losses.iou import generalised_iou
from qdtrack_model.losses.pairwise import pairwise_ranking
from qdtrack_model.losses.regression import centre_l1
from qdtrack_model.losses.triplet import triplet
from qdtrack_model.losses.within_frame import within_frame_contrastive

__all__ = [
    "auxiliary_cosine", "balance", "centre_l1", "embedding_scale", "focal_heatmap", "generalised_iou",
    "identity_classification", "multi_positive_contrastive", "pairwise_ranking", "triplet", "within_frame_contrastive",
]  # fmt: skip
