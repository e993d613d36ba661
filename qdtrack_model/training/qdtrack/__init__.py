"""The step of QDTrack's training: a batch of frame pairs in, the terms of the loss out (arXiv 2006.06664)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.data.samples import IGNORED, LabelledImage
from qdtrack_model.losses import auxiliary_cosine, multi_positive_contrastive, within_frame_contrastive
from qdtrack_model.networks.qdtrack import QDTrack
from qdtrack_model.networks.resnet import BatchNorm
from qdtrack_model.networks.rpn import Proposals
from qdtrack_model.training.config import QDTrackTraining
from qdtrack_model.training.qdtrack.detection import Truth, roi_losses, rpn_losses, with_truth
from qdtrack_model.training.qdtrack.quasi_dense import Regions, choose_regions, only_positives, same_identity

UNUSED = -2  # label of rows left over


@dataclass(frozen=True, eq=False)
class RegionBatch:
    """Images and objects of B pairs; rows 2 b and 2 b + 1 are key and reference of pair b."""

    images: Tensor  # (2 B, h, w, 3) uint8
    boxes: Tensor  # (2 B, N, 4) float32, pixels
    labels: Tensor  # (2 B, N) int64; IGNORED, or UNUSED in rows left over
    ids: Tensor  # (2 B, N) int64
    open_boxes: Tensor  # (2 B, M, 4) float32, where objects of a class may stand without a box
    open_labels: Tensor  # (2 B, M) int64; UNUSED in rows left over
    seeds: tuple[int, ...]  # of each pair, of what the step draws at random

    def to(self, device: torch.device) -> RegionBatch:
        """The batch on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self) if f.name != "seeds"}
        return replace(self, **moved)

    def truth(self, image: int) -> Truth:
        """What is in one image."""
        labels, boxes = self.labels[image], self.boxes[image]
        known = labels >= 0
        regions = self.open_labels[image] >= 0
        return Truth(
            boxes[known], labels[known], self.ids[image][known], boxes[labels == IGNORED],
            self.open_boxes[image][regions], self.open_labels[image][regions],
        )  # fmt: skip


class RegionPairs(Dataset[tuple[LabelledImage, LabelledImage, int]]):
    """Frame pairs, and a seed for what is drawn from them: item i is (key, reference, seed)."""

    def __init__(self, pairs: FramePairs, seed: int) -> None:
        self._pairs, self._seed = pairs, seed

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, item: int) -> tuple[LabelledImage, LabelledImage, int]:
        key, reference = self._pairs[item]
        return key, reference, int(np.random.default_rng((self._seed + 1, item)).integers(2**62))


def collate(items: Sequence[tuple[LabelledImage, LabelledImage, int]]) -> RegionBatch:
    """Stack pairs into a batch."""
    views = [view for key, reference, _ in items for view in (key, reference)]

    def stack(name: str, dtype: torch.dtype, fill: float) -> Tensor:
        rows = [torch.from_numpy(getattr(view.objects, name)).to(dtype) for view in views]
        return pad_sequence(rows, batch_first=True, padding_value=fill)

    return RegionBatch(
        torch.from_numpy(np.stack([view.image for view in views])),
        stack("boxes", torch.float32, 0),
        stack("labels", torch.int64, UNUSED),
        stack("ids", torch.int64, 0),
        stack("open_boxes", torch.float32, 0),
        stack("open_labels", torch.int64, UNUSED),
        seeds=tuple(seed for _, _, seed in items),
    )


def freeze(network: QDTrack, config: QDTrackTraining) -> None:
    """Keep what the recipe does not train as it is, statistics of norms included.

    That is the whole detector, which then also works as in inference; or the stem and the first stages of the
    backbone. In the caffe style all frozen batch norms keep their scale and shift too, as public checkpoints have them.
    """
    if config.freeze_detector:
        for detector in (network.backbone, network.neck, network.rpn_head, network.roi_head):
            detector.eval().requires_grad_(False)
        return
    backbone, stages = network.backbone, config.frozen_stages
    kept = [backbone.conv1, backbone.bn1, *(backbone.get_submodule(f"layer{i + 1}") for i in range(stages))]
    for part in kept if stages else []:
        part.requires_grad_(False)
        for module in part.modules():
            if isinstance(module, BatchNorm):
                module.frozen = True
    if network.config.style == "caffe" and network.config.frozen_norm:
        for module in backbone.modules():
            if isinstance(module, BatchNorm):
                module.requires_grad_(False)


def losses(network: QDTrack, batch: RegionBatch, config: QDTrackTraining) -> dict[str, Tensor]:
    """The unweighted terms: rpn_class, rpn_box, roi_class, roi_box (unless the detector is frozen), contrastive,
    auxiliary.

    Boxes are learned on key frames alone; embeddings on both.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
    with torch.set_grad_enabled(torch.is_grad_enabled() and not config.freeze_detector):
        # Many regions share a cell; their gradients are summed up there, which half precision cannot.
        pyramid = [level.float() for level in network.pyramid(batch.images)]
        key, reference = [x[0::2] for x in pyramid], [x[1::2] for x in pyramid]
        objectness, deltas = network.rpn_head(key)
    truths = [batch.truth(i) for i in range(len(batch.images))]
    clip = (batch.images.shape[1], batch.images.shape[2]) if network.config.clip_boxes else None
    with torch.no_grad():
        # The detector learns from twice as many candidates as it works with.
        key_proposals = network.rpn_head.propose(objectness, deltas, clip, 2 * network.config.proposals_per_level)
        reference_outputs: tuple[list[Tensor], list[Tensor]] = network.rpn_head(reference)
        reference_proposals = network.rpn_head.propose(*reference_outputs, clip)

    terms: dict[str, Tensor] = {}
    if not config.freeze_detector:
        terms |= rpn_losses(objectness, deltas, truths[0::2], config.anchor_samples, generators)
        terms |= roi_losses(network.roi_head, key, key_proposals, truths[0::2], config.box_samples, generators)
    key_regions = [only_positives(r) for r in _regions(key_proposals, truths[0::2], config, generators)]
    reference_regions = _regions(reference_proposals, truths[1::2], config, generators)
    embedded = _embed(network, key, key_regions), _embed(network, reference, reference_regions)
    if config.matching == "within_frame":
        return terms | _within_frame([*embedded[0], *embedded[1]], [*key_regions, *reference_regions])
    rows = zip(*embedded, key_regions, reference_regions, strict=True)
    pairs = [(k, r, same_identity(k_regions, r_regions)) for k, r, k_regions, r_regions in rows]
    return terms | {
        "contrastive": torch.stack([multi_positive_contrastive(*pair) for pair in pairs]).mean(),
        "auxiliary": torch.stack([auxiliary_cosine(*pair) for pair in pairs]).mean(),
    }


def _within_frame(embeddings: Sequence[Tensor], regions: Sequence[Regions]) -> dict[str, Tensor]:
    """The contrastive loss of the regions of all key frames, and then of their references in the same order."""
    count = len(regions) // 2
    pairs = torch.cat([torch.full_like(r.ids, number % count) for number, r in enumerate(regions)])
    loss = within_frame_contrastive(torch.cat(list(embeddings)), torch.cat([r.ids for r in regions]), pairs)
    return {"contrastive": loss, "auxiliary": torch.zeros_like(loss)}


def _regions(
    proposals: Proposals, truths: list[Truth], config: QDTrackTraining, generators: Sequence[torch.Generator]
) -> list[Regions]:
    """The regions of each image from which embeddings are learned."""
    each = enumerate(zip(truths, generators, strict=True))
    return [choose_regions(with_truth(proposals, i, t), t, config, generator) for i, (t, generator) in each]


def _embed(network: QDTrack, pyramid: list[Tensor], regions: list[Regions]) -> list[Tensor]:
    """Embeddings (N, D) of the regions of each image."""
    boxes = pad_sequence([r.boxes for r in regions], batch_first=True)
    embeddings = network.embedding_head(pyramid, boxes).float()
    return [rows[: len(r.boxes)] for rows, r in zip(embeddings, regions, strict=True)]
