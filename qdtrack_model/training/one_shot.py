"""The step of one-shot training: a batch of frame pairs in, the terms of the loss out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.losses import auxiliary_cosine, focal_heatmap, generalised_iou, multi_positive_contrastive
from qdtrack_model.networks.one_shot import OneShotNetwork, decode_boxes
from qdtrack_model.training.config import OneShotTraining
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

    def to(self, device: torch.device) -> PairBatch:
        """The batch on another device."""
        return PairBatch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


class CentrePairs(Dataset[list[tuple[np.ndarray, ...]]]):
    """Frame pairs with targets: item i is [key, reference], each (image, heat, ignored, index, boxes, identity)."""

    def __init__(self, pairs: FramePairs, config: OneShotTraining) -> None:
        self._pairs, self._config = pairs, config

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, item: int) -> list[tuple[np.ndarray, ...]]:
        config, random = self._config, np.random.default_rng((self._config.seed + 1, item))
        frames: list[tuple[np.ndarray, ...]] = []
        for view in self._pairs[item]:
            t = centre_targets(view, len(config.model.classes), config.places, config.places_per_object, random)
            frames.append((view.image, t.heat, t.ignored, t.index, t.boxes, t.identity))
        return frames


def collate(items: Sequence[list[tuple[np.ndarray, ...]]]) -> PairBatch:
    """Stack pairs into a batch."""
    frames = [frame for pair in items for frame in pair]
    return PairBatch(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*frames, strict=True)))


def losses(network: OneShotNetwork, batch: PairBatch) -> dict[str, Tensor]:
    """The unweighted terms: heat, box, contrastive, auxiliary; in the last two unknown identities take no part."""
    features = network.features(batch.images)
    logits = network.heatmap(features).float()
    offset, sides, embeddings = (t.float() for t in network.describe(features, batch.index))
    known = batch.identity >= 0  # (2 B, K)
    objects = known | (batch.identity == UNKNOWN)
    boxes = decode_boxes(batch.index, offset, sides, features.shape[3])
    heat = focal_heatmap(logits.masked_fill(batch.ignored, NEVER), batch.heat)
    terms = {
        "heat": mean_over_all(heat, (batch.heat == 1).sum()),
        "box": mean_over_all(generalised_iou(boxes[objects], batch.boxes[objects]), objects.sum()),
    }
    contrastive, auxiliary = [], []
    for pair in range(len(batch.images) // 2):
        key_rows, reference_rows = known[2 * pair], batch.identity[2 * pair + 1] >= BACKGROUND
        key, reference = embeddings[2 * pair][key_rows], embeddings[2 * pair + 1][reference_rows]
        same = batch.identity[2 * pair][key_rows][:, None] == batch.identity[2 * pair + 1][reference_rows][None, :]
        contrastive.append(multi_positive_contrastive(key, reference, same))
        auxiliary.append(auxiliary_cosine(key, reference, same))
    return terms | {"contrastive": torch.stack(contrastive).mean(), "auxiliary": torch.stack(auxiliary).mean()}
