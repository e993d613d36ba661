"""What the presets of many classes lose by giving only the best 3840 candidates to class-wise suppression.

    python benchmarks/candidates.py --images 4

Every class of every proposal that scores above the floor is a candidate: hundreds of thousands with 482 classes. The
network takes the best of them over all classes (`CANDIDATES` in `networks/roi_heads.py`); here its detections are held
against those of all candidates. They are the first of these, and as many unless the best candidates are the same few
boxes many times over. Weights are seeded, images show a synthetic street, and proposals are those of the network, or
all drawn onto the objects of the street: farther than a trained network goes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from models import seeded
from torch import Tensor

from qdtrack_model.boxes import box_iou
from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.networks import QDTrack
from qdtrack_model.networks.box_coding import decode_deltas
from qdtrack_model.networks.roi_heads import CANDIDATES, DEVIATIONS
from qdtrack_model.networks.rpn import Proposals
from qdtrack_model.structures import Array
from qdtrack_model.synthetic import Scene, SceneConfig

JITTER = 0.03  # how far from its object a proposal is drawn, in sizes of the object


def of_all(scores: Array, boxes: Array, floor: float, iou: float, count: int) -> tuple[Array, Array, Array]:
    """The ``count`` best detections of all candidates, one after the other.

    Args:
        scores: (N, classes).
        boxes: (N, classes, 4).
        floor: candidates of at most this score do not count.
        iou: greatest overlap of two detections of one class.
        count: most detections.

    Returns:
        Boxes (K, 4), scores (K,), labels (K,).
    """
    kept: list[tuple[int, int]] = []
    of_class: dict[int, list[Array]] = defaultdict(list)
    for place in np.argsort(-scores, axis=None, kind="stable")[: int((scores > floor).sum())]:
        row, label = divmod(int(place), scores.shape[1])
        box = boxes[row, label]
        if not of_class[label] or box_iou(box[None], np.array(of_class[label])).max() <= iou:
            of_class[label].append(box)
            kept.append((row, label))
            if len(kept) == count:
                break
    rows, labels = np.array(kept).T
    return boxes[rows, labels], scores[rows, labels], labels


def drawn(proposals: Proposals, objects: Array) -> Proposals:
    """The proposals, each moved onto the object (N, 4) that it overlaps most."""
    generator = np.random.default_rng(0)
    boxes = objects[box_iou(proposals.boxes[0].numpy(), objects).argmax(axis=1)]
    sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + JITTER * sizes * generator.standard_normal(boxes.shape)
    return Proposals(torch.from_numpy(moved.astype(np.float32))[None], proposals.scores)


def compare(network: QDTrack, pyramid: list[Tensor], proposals: Proposals, clip: tuple[int, int]) -> str:
    """How many candidates and detections there are, and what is lost, for people."""
    config = network.config
    logits, deltas = network.roi_head(pyramid, proposals.boxes)
    found, scores, labels = network.roi_head.detect(
        proposals, logits, deltas, floor=config.score_floor, nms_iou=config.detection_overlap,
        count=config.max_detections, clip=clip,
    )  # fmt: skip
    every = logits[0].softmax(dim=-1)[:, :-1].numpy()
    moved = decode_deltas(proposals.boxes[0][:, None], deltas[0], DEVIATIONS, clip).numpy()
    boxes, best, classes = of_all(every, moved, config.score_floor, config.detection_overlap, config.max_detections)
    rows = int((scores[0] > 0).sum())
    same = (labels[0, :rows].numpy() == classes[:rows]) & np.isclose(found[0, :rows], boxes[:rows], atol=0.01).all(1)
    lost = f", scores of the lost ones {best[-1]:.4f} to {best[rows]:.4f}" if rows < len(best) else ""
    candidates = int((every > config.score_floor).sum())
    return f"{candidates} candidates, {same.sum()} of {len(best)} detections, best score {best[0]:.4f}{lost}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=positive_integer, default=4)
    args = parser.parse_args(argv)
    print(f"candidates that take part: {CANDIDATES}")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        network = seeded("tao", Path(folder), input_size=(384, 640), sampling=2).network()
        assert isinstance(network, QDTrack)
        preprocess, scene = Preprocessor(network.config), Scene(SceneConfig(seed=7))
        for number in range(args.images):
            frame = scene.frame(20 * number)
            batch, [letterbox] = preprocess([frame.image])
            pyramid, size = network.pyramid(torch.from_numpy(batch)), network.config.input_size
            proposals = network.rpn_head.propose(*network.rpn_head(pyramid), size)
            objects = frame.truth.boxes * np.tile(letterbox.scale, 2)
            print(f"image {number}, proposals of the network: {compare(network, pyramid, proposals, size)}")
            proposals = drawn(proposals, objects)
            print(f"image {number}, on its {len(objects)} objects: {compare(network, pyramid, proposals, size)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
