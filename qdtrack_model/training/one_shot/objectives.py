"""The loss of a one-shot network's embeddings, one way or another."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from qdtrack_model.losses import (
    embedding_scale,
    identity_classification,
    pairwise_ranking,
    triplet,
    within_frame_contrastive,
)
from qdtrack_model.training.config import MARGINS, OF_VIEWS, OneShotTraining
from qdtrack_model.training.one_shot.preparation import PARTS, LossParts
from qdtrack_model.training.targets import UNUSED


def embedding_loss(
    network: nn.Module, anchors: Tensor, beside: Tensor, identity: Tensor, config: OneShotTraining
) -> Tensor:
    """The unweighted loss of the embeddings of objects.

    Args:
        network: carries what the loss needs, see ``preparation.py``.
        anchors: (2 B, M, D) at the objects' places; rows 2 b and 2 b + 1 are the images of pair b.
        beside: (2 B, M, D) beside their centres.
        identity: (2 B, M) ids, UNKNOWN, or UNUSED.
        config: the recipe, whose ``embeddings`` is not quasi_dense.
    """
    parts = network.get_submodule(PARTS)
    assert isinstance(parts, LossParts)
    used = identity != UNUSED
    images = torch.arange(len(identity), device=identity.device)[:, None].expand_as(identity)
    way = config.embeddings
    margin = MARGINS.get(way, 1.0) if config.margin is None else config.margin
    if config.classifies:
        assert parts.classifier is not None
        classifier = parts.classifier
        scale = embedding_scale(classifier.out_features)
        return identity_classification(anchors[used], identity[used], classifier.weight, classifier.bias, scale)
    if way in ("euclidean", "cosine"):
        metric: Literal["euclidean", "cosine"] = "euclidean" if way == "euclidean" else "cosine"
        return pairwise_ranking(
            anchors[used], images[used], beside[used], margin=margin, metric=metric, scale=embedding_scale(None)
        )
    assert way in OF_VIEWS
    known = used & (identity >= 0)
    views, labels, pairs = parts.projected(anchors[known]), identity[known], images[known] // 2
    if way == "contrastive":
        return within_frame_contrastive(views, labels, pairs, config.temperature)
    mining: Literal["all", "hard"] = "all" if way == "triplet_all" else "hard"
    return triplet(views, labels, pairs, margin, mining, normalised=parts.projection is None)
