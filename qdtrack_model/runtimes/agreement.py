"""Whether a network in bfloat16 finds what it finds in float32: looked at once for each weights, on one picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.cache import Identity, keep
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes.graph import deployed, graph_identity
from qdtrack_model.structures import Array

PICTURE = Path(__file__).with_name("street.jpg")  # frame 160 of `qdtrack synthesize --seed 9`: people and cars
BEST = 20  # what a network takes most for objects is compared, also where it knows none of those in the picture


class Network(Protocol):
    """What is looked at."""

    def outputs(self, images: Array) -> Sequence[Array]:
        """Images (batch, H, W, 3) uint8 -> boxes, scores, labels and embeddings, each (batch, ...)."""


@dataclass(frozen=True)
class Agreement:
    """How well detections agree with exact ones.

    Attributes:
        compared: exact detections that were looked for.
        matched: share of them that was found again: same class, overlap of half at least.
        score: nine tenths of the scores of these differ by no more.
        cosine: nine tenths of their embeddings point in directions at least so close.
    """

    compared: int
    matched: float
    score: float
    cosine: float

    @property
    def holds(self) -> bool:
        """Whether a tracker would not notice; its thresholds are tuned in steps of .05."""
        return self.compared > 0 and self.matched >= 0.9 and self.score <= 0.02 and self.cosine >= 0.98

    def __str__(self) -> str:
        if not self.compared:
            return "nothing is found in the picture that is compared"
        found = f"{self.matched:.0%} of {self.compared} detections found again"
        return f"{found}, scores within {self.score:.3f}, cosines of embeddings from {self.cosine:.3f}"


def compare(found: Sequence[Array], exact: Sequence[Array]) -> Agreement:
    """Compare what a network gives for one image with what it should: boxes, scores, labels, embeddings of both.

    Candidates of equal rights decide anew at every rounding which of them stands for an object: of detections in
    hundreds some always differ, with another box and appearance, which is why shares count and not extremes.
    """
    boxes, scores, labels, embeddings = (rows[exact[1] > 0][:BEST] for rows in exact)
    if not len(boxes):
        return Agreement(0, 0.0, 0.0, 0.0)
    overlap = box_iou(boxes, found[0]) * (labels[:, None] == found[2]) * (found[1] > 0)
    like = overlap.argmax(axis=1)
    matched = overlap.max(axis=1) >= 0.5
    if not matched.any():
        return Agreement(len(boxes), 0.0, 0.0, 0.0)
    one, other = embeddings[matched], found[3][like][matched]
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)
    differences = np.abs(scores - found[1][like])[matched]
    return Agreement(
        len(boxes), float(matched.mean()), float(np.quantile(differences, 0.9)), float(np.quantile(cosines, 0.1))
    )


def agreement(network: Network, checkpoint: Checkpoint, batch: int, made_by: Identity) -> Agreement:
    """How well ``network`` agrees with its weights in float32; computed once, then read from the cache.

    Args:
        network: in bfloat16.
        checkpoint: its weights.
        batch: of its input.
        made_by: what else its numbers depend on, such as the version of the library that computes them.

    Raises:
        CacheError: the result cannot be kept.
    """

    def look(path: Path) -> None:
        height, width = checkpoint.config.input_size
        images = np.repeat(cv2.resize(cv2.imread(str(PICTURE)), (width, height))[None], batch, axis=0)
        found = [rows[0] for rows in network.outputs(images)]
        path.write_text(json.dumps(asdict(compare(found, exactly(checkpoint, images[:1])))) + "\n", encoding="utf-8")

    # Of the graph for one image: the others of a batch are computed alike.
    identity = {**graph_identity(checkpoint, "bf16", 1), **made_by}
    kept = keep(f"{checkpoint.path.stem}-agreement", ".txt", identity, look)
    return Agreement(**json.loads(kept.read_text(encoding="utf-8")))


def exactly(checkpoint: Checkpoint, images: Array) -> list[Array]:
    """Boxes, scores, labels and embeddings of the first of ``images`` by eager torch in float32 on the CPU."""
    import torch

    with torch.inference_mode():
        outputs = deployed(checkpoint, "fp32")(torch.from_numpy(images))
    return [rows[0].numpy() for rows in outputs]
