"""Embeddings of the objects in ground truth as a network gives them: at the places where the objects are, not where it
finds them, so that they are judged without the detector and the tracker (``evaluation/embeddings.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from qdtrack_model.boxes import clip_boxes
from qdtrack_model.data.held_out import HeldOutSequence
from qdtrack_model.data.sources import Frame
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.structures import Array

STRIDE = 4  # pixels of the network's input in a cell


@dataclass(frozen=True, eq=False)
class ObjectEmbeddings:
    """The objects of a sequence, in the order of frames.

    Args:
        frames: (M,) number of the frame.
        ids: (M,) identity, below 0 where unknown.
        sizes: (M, 2) width and height in cells of 4 pixels of the network's input.
        embeddings: (M, D) float32.
        crops: of each identity what it looks like where it is largest, BGR uint8.
    """

    frames: Array
    ids: Array
    sizes: Array
    embeddings: Array
    crops: dict[int, Array]


def embed_sequence(
    network: nn.Module, sequence: HeldOutSequence, name: str, last: int | None = None, most: int | None = None
) -> ObjectEmbeddings:
    """The scored objects of the frames that are held out.

    Args:
        network: in evaluation mode, on any device; has ``config`` and ``embed``.
        sequence: images and ground truth.
        name: of the sequence, for the progress bar.
        last: number of the last frame that is looked at, None for all.
        most: how many objects of known identity there may be.

    Raises:
        ValueError: no object is scored in these frames, or more than ``most``.
    """
    end = min(sequence.stretches[-1][1], last or sequence.stretches[-1][1])
    wanted = [sequence.truth.between(first, min(final, end)) for first, final in sequence.stretches]
    count = sum(int(((part.confidences > 0) & (part.ids >= 0)).sum()) for part in wanted)
    if most is not None and count > most:
        raise ValueError(f"{count} objects in frames up to {end}, expected {most} at most: choose fewer frames")
    device, preprocess = next(network.parameters()).device, Preprocessor(network.config)  # type: ignore[arg-type]
    parts: list[tuple[Array, Array, Array, Array]] = []
    crops: dict[int, Array] = {}
    for frame in _frames(sequence, name, end):
        truth = sequence.truth[
            np.flatnonzero((sequence.truth.frames == frame.index) & (sequence.truth.confidences > 0))
        ]
        if not len(truth):
            continue
        batch, [letterbox] = preprocess([frame.image])
        boxes = truth.boxes * np.array([*letterbox.scale, *letterbox.scale])
        with torch.inference_mode():
            given = torch.from_numpy(boxes[None]).to(device, torch.float32)
            found = network.embed(torch.from_numpy(batch).to(device), given)[0]  # type: ignore[operator]
        sizes = (boxes[:, 2:] - boxes[:, :2]) / STRIDE
        parts.append((truth.frames, truth.ids, sizes, found.float().cpu().numpy()))
        _keep_largest(crops, frame.image, truth.boxes, truth.ids)
    if not parts:
        raise ValueError(f"no object is scored in frames 1-{end}")
    frames, ids, sizes, embeddings = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ObjectEmbeddings(frames, ids, sizes, embeddings, crops)


def heat_of(network: nn.Module, image: Array) -> Array | None:
    """Where a network sees centres, of any class: (h, w) in 0..1 over an image (H, W, 3); None without a heatmap."""
    if not hasattr(network, "heatmap"):
        return None
    batch, [letterbox] = Preprocessor(network.config)([image])  # type: ignore[arg-type]
    with torch.inference_mode():
        given = torch.from_numpy(batch).to(next(network.parameters()).device)
        heat = network.heatmap(network.features(given)).float().sigmoid()[0].amax(dim=0)  # type: ignore[operator]
    height, width = (
        max(1, round(side * scale / STRIDE)) for side, scale in zip(image.shape[:2], letterbox.scale[::-1], strict=True)
    )
    return np.asarray(heat[:height, :width].cpu().numpy())


def _frames(sequence: HeldOutSequence, name: str, end: int) -> Iterator[Frame]:
    """The frames that are held out, up to the one of this number."""
    with sequence.images() as source:
        for frame in tqdm(source, desc=f"embedding {name}", total=end, leave=False, disable=None):
            if frame.index > end:
                return
            if any(first <= frame.index <= final for first, final in sequence.stretches):
                yield frame


def _keep_largest(crops: dict[int, Array], image: Array, boxes: Array, ids: Array) -> None:
    """Take in what the objects look like in an image, where they are larger than before."""
    inside = clip_boxes(boxes, (image.shape[1], image.shape[0])).astype(int)
    for (x1, y1, x2, y2), identity in zip(inside.tolist(), ids.tolist(), strict=True):
        if identity >= 0 and (y2 - y1) * (x2 - x1) > crops.get(identity, np.zeros((0, 0, 3))).size / 3:
            crops[identity] = image[y1:y2, x1:x2].copy()
