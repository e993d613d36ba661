"""The step of one-shot training: a batch of frame pairs in, the terms of the loss out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.losses import (
    auxiliary_cosine,
    balance,
    centre_l1,
    focal_heatmap,
    generalised_iou,
    multi_positive_contrastive,
)
from qdtrack_model.networks.one_shot import CentreNetwork, decode_boxes
from qdtrack_model.training.config import OneShotTraining
from qdtrack_model.training.one_shot.objectives import embedding_loss
from qdtrack_model.training.one_shot.objects import object_places
from qdtrack_model.training.one_shot.preparation import PARTS, LossParts
from qdtrack_model.training.processes import mean_over_all
from qdtrack_model.training.targets import BACKGROUND, UNKNOWN, centre_targets

NEVER = -30.0  # a logit that the heatmap loss neither punishes nor rewards


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Images and targets (see ``CentreTargets``) of B pairs; rows 2 b and 2 b + 1 are key and reference of pair b."""

    images: Tensor  # (2 B, h, w, 3) uint8
    heat: Tensor  # (2 B, C, h/4, w/4)
    ignored: Tensor  # (2 B, C, h/4, w/4)
    index: Tensor  # (2 B, K)
    boxes: Tensor  # (2 B, K, 4)
    identity: Tensor  # (2 B, K)
    # Whole objects (see ``ObjectPlaces``), where the embeddings are not learned quasi-densely; else M is 0.
    centre: Tensor  # (2 B, M)
    beside: Tensor  # (2 B, M)
    objects: Tensor  # (2 B, M) their ids

    def to(self, device: torch.device) -> PairBatch:
        """The batch on another device."""
        return PairBatch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


class CentrePairs(Dataset[list[tuple[np.ndarray, ...]]]):
    """Frame pairs with targets: item i is [key, reference], each with the arrays of a :class:`PairBatch`."""

    def __init__(self, pairs: FramePairs, config: OneShotTraining) -> None:
        self._pairs, self._config = pairs, config

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, item: int) -> list[tuple[np.ndarray, ...]]:
        config, random = self._config, np.random.default_rng((self._config.seed + 1, item))
        frames: list[tuple[np.ndarray, ...]] = []
        for view in self._pairs[item]:
            t = centre_targets(view, len(config.model.classes), config.places, config.places_per_object, random)
            whole: tuple[np.ndarray, ...] = (np.zeros(0, np.int64),) * 3
            if config.embeddings != "quasi_dense":
                found = object_places(view.objects, t.heat.shape[1:], config.objects, config.off_centre, random)
                whole = found.centre, found.beside, found.identity
            frames.append((view.image, t.heat, t.ignored, t.index, t.boxes, t.identity, *whole))
        return frames


def collate(items: Sequence[list[tuple[np.ndarray, ...]]]) -> PairBatch:
    """Stack pairs into a batch."""
    frames = [frame for pair in items for frame in pair]
    return PairBatch(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*frames, strict=True)))


def losses(network: CentreNetwork, batch: PairBatch, config: OneShotTraining) -> dict[str, Tensor]:
    """The unweighted terms: heat, box, and those of the embeddings: contrastive and auxiliary where they are learned
    quasi-densely, embedding otherwise; and balanced, the sum of all, where the recipe balances them by uncertainty.
    """
    features = network.features(batch.images)
    logits = network.heatmap(features).float()
    places = torch.cat([batch.index, batch.centre, batch.beside], dim=1)
    offset, sides, embeddings = (t.float() for t in network.describe(features, places))
    count = batch.index.shape[1]
    heat = focal_heatmap(logits.masked_fill(batch.ignored, NEVER), batch.heat)
    terms = {
        "heat": mean_over_all(heat, (batch.heat == 1).sum()),
        "box": _box(batch, offset[:, :count], sides[:, :count], features.shape[3], config),
    }
    if config.embeddings == "quasi_dense":
        return terms | _quasi_dense(batch, embeddings)
    anchors, beside = embeddings[:, count:].tensor_split(2, dim=1)
    terms["embedding"] = embedding_loss(network, anchors, beside, batch.objects, config)
    if config.balance == "weights":
        return terms
    parts = network.get_submodule(PARTS)
    assert isinstance(parts, LossParts)
    detection = config.heat_weight * terms["heat"] + config.box_weight * terms["box"]
    own = parts.detection_log_variance, parts.identity_log_variance
    balanced = balance(detection, config.embedding_weight * terms["embedding"], *own)
    return {name: term.detach() for name, term in terms.items()} | {"balanced": balanced}


def _box(batch: PairBatch, offset: Tensor, sides: Tensor, width: int, config: OneShotTraining) -> Tensor:
    """The loss of boxes (2 B, K) at places of objects, by their overlap or as FairMOT learns them."""
    objects = (batch.identity >= 0) | (batch.identity == UNKNOWN)  # (2 B, K)
    target = batch.boxes[objects]
    boxes = decode_boxes(batch.index, offset, sides, width)[objects]
    if config.box_loss == "giou":
        return mean_over_all(generalised_iou(boxes, target), objects.sum())
    index = batch.index[objects]
    cells = torch.stack([index % width, index // width], dim=-1)
    middles = (target[:, :2] + target[:, 2:]) / 2
    wanted = torch.cat([middles - target[:, :2], target[:, 2:] - middles], dim=-1)
    if getattr(config.model, "size", "ltrb") == "wh":
        size = centre_l1(sides[objects][:, :2] + sides[objects][:, 2:], wanted[:, :2] + wanted[:, 2:])
    else:
        size = centre_l1(sides[objects], wanted)
    return mean_over_all(0.1 * size + centre_l1(offset[objects], middles - cells), objects.sum())


def _quasi_dense(batch: PairBatch, embeddings: Tensor) -> dict[str, Tensor]:
    """The terms contrastive and auxiliary of embeddings (2 B, K, D), in which unknown identities take no part."""
    contrastive, auxiliary = [], []
    for pair in range(len(batch.images) // 2):
        key_rows, reference_rows = batch.identity[2 * pair] >= 0, batch.identity[2 * pair + 1] >= BACKGROUND
        key, reference = embeddings[2 * pair][key_rows], embeddings[2 * pair + 1][reference_rows]
        same = batch.identity[2 * pair][key_rows][:, None] == batch.identity[2 * pair + 1][reference_rows][None, :]
        contrastive.append(multi_positive_contrastive(key, reference, same))
        auxiliary.append(auxiliary_cosine(key, reference, same))
    return {"contrastive": torch.stack(contrastive).mean(), "auxiliary": torch.stack(auxiliary).mean()}
