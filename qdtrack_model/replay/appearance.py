"""How tracks look in the images of a sequence: the cached embeddings of their boxes, and where these change at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.evaluation.frames import rows_by_frame
from qdtrack_model.replay.detections import read_detections
from qdtrack_model.replay.sequence import DETECTIONS, ReplayedSequence
from qdtrack_model.structures import Array

_SAME = 0.95  # overlap of a track's box and its detection's
_FAR = 6.0  # quartile distances below the median


@dataclass(frozen=True)
class Change:
    """A track that looks other than in the image before: its id, both frames by number, and the cosine similarity."""

    track: int
    before: int
    frame: int
    similarity: float


def track_embeddings(sequence: ReplayedSequence, every: int = 1) -> Iterator[tuple[int, Array, Array]]:
    """Of every so many images its place, the rows (K,) of ``tracks`` that have a detection, and its embeddings (K, D).

    Nothing where no detections are cached, or they have no embeddings.

    Raises:
        CacheError: the cached detections are broken.
    """
    if not (sequence.folder / DETECTIONS).is_file():
        return
    rows, tracks = rows_by_frame(sequence.tracks), sequence.tracks
    for place, frame in enumerate(read_detections(sequence.folder / DETECTIONS)):
        if place % every or frame.number not in rows or not frame.detections.embeddings.size:
            continue
        chosen = rows[frame.number]
        overlap = box_iou(tracks.boxes[chosen], frame.detections.boxes.astype(np.float64))
        best = overlap.argmax(axis=1)
        same = overlap[np.arange(len(chosen)), best] > _SAME
        yield place, chosen[same], frame.detections.embeddings[best[same]]


def changes(sequence: ReplayedSequence) -> list[Change]:
    """Where tracks look much less like themselves than tracks of this sequence do from image to image, the least alike
    first: two may have been confused.

    Raises:
        CacheError: the cached detections are broken.
    """
    tracks, last = sequence.tracks, dict[int, tuple[int, Array]]()
    found: list[Change] = []
    for _, rows, embeddings in track_embeddings(sequence):
        units = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        for row, unit in zip(rows.tolist(), units, strict=True):
            one, frame = int(tracks.ids[row]), int(tracks.frames[row])
            if one in last:
                before, other = last[one]
                found.append(Change(one, before, frame, float(unit @ other)))
            last[one] = frame, unit
    if not found:
        return []
    low, middle, high = np.percentile([change.similarity for change in found], [25, 50, 75])
    limit = middle - _FAR * max(high - low, 0.01)
    return sorted((change for change in found if change.similarity < limit), key=lambda change: change.similarity)
