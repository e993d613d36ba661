"""How well embeddings tell identities apart, whatever a tracker makes of them.

TPR at FAR: JDE (Wang et al., ECCV 2020) and FairMOT, over all pairs of embeddings; over the largest people of the first
frame alone: One-shot multi-object tracking using contrastive learning (Eindhoven, 2020). The two order the models of
that report differently, so both are always told. Retrieval: Zheng et al., Market-1501, ICCV 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qdtrack_model.boxes import gaussian_radius
from qdtrack_model.structures import Array

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # false accept rates that are reported
MOST = 20_000  # embeddings, whose pairs take a gigabyte
LARGEST, FRAMES = 10, 100  # people of the first frame, and for how long they are looked at
CELL = 4  # pixels


@dataclass(frozen=True)
class EmbeddingScores:
    """What a set of embeddings is worth.

    Args:
        tpr: part of the pairs of one identity that are accepted, at each of ``FARS``.
        rank1: part of the embeddings whose most similar other one is of the same identity.
        mean_ap: mean average precision of the ranking by similarity of all others.
        count: embeddings that took part.
        pairs: pairs of them, and how many are of one identity.
    """

    tpr: tuple[float, ...]
    rank1: float
    mean_ap: float
    count: int
    pairs: tuple[int, int]


def score_embeddings(embeddings: Array, ids: Array) -> EmbeddingScores:
    """Scores of embeddings (M, D) with identities (M,), below 0 where unknown: such take no part.

    Raises:
        ValueError: as of :func:`roc`.
    """
    far, tpr = roc(embeddings, ids)
    rank1, mean_ap = retrieval(embeddings, ids)
    known = ids[ids >= 0]
    _, counts = np.unique(known, return_counts=True)
    pairs = len(known) * (len(known) - 1) // 2, int((counts * (counts - 1) // 2).sum())
    return EmbeddingScores(tuple(float(_at(far, tpr, value)) for value in FARS), rank1, mean_ap, len(known), pairs)


def score_both(frames: Array, ids: Array, sizes: Array, embeddings: Array) -> dict[str, EmbeddingScores | None]:
    """Scores over the largest people of the first frame, and over all; arguments as of :func:`largest_people`.

    None of the largest where they are too few to be told apart.

    Raises:
        ValueError: as of :func:`roc`.
    """
    largest = largest_people(frames, ids, sizes)
    several = len(np.unique(ids[largest])) > 1 and len(np.unique(ids[largest])) < largest.sum()
    return {
        "largest": score_embeddings(embeddings[largest], ids[largest]) if several else None,
        "all": score_embeddings(embeddings, ids),
    }


def roc(embeddings: Array, ids: Array) -> tuple[Array, Array]:
    """False accept rates and true accept rates, both rising from (0, 0) to (1, 1).

    Pairs are accepted by falling cosine, equal ones together. Corners between which the curve is straight are left out.

    Args:
        embeddings: (M, D).
        ids: (M,) identities, below 0 where unknown.

    Raises:
        ValueError: the shapes do not belong together, no two are of one identity, or no two of different ones, or there
            are more than ``MOST``.
    """
    same, other = _similarities(embeddings, ids)
    if not len(same) or not len(other):
        raise ValueError(
            f"ids: {len(same)} pairs are of one identity and {len(other)} of two; expected some of both: objects seen "
            "in several frames, and several of them"
        )
    thresholds = np.unique(same)[::-1]
    # The curve rises where pairs of one identity are: of the others only those between two rises matter.
    accepted = np.searchsorted(-same, -thresholds, side="right") / len(same)
    before = np.searchsorted(-other, -thresholds, side="left") / len(other)  # more similar ones alone
    after = np.searchsorted(-other, -thresholds, side="right") / len(other)
    far = np.stack([before, after], axis=1).ravel()
    tpr = np.stack([np.concatenate([[0.0], accepted[:-1]]), accepted], axis=1).ravel()
    return np.concatenate([[0.0], far, [1.0]]), np.concatenate([[0.0], tpr, [1.0]])


def tpr_at_far(embeddings: Array, ids: Array, far: float = 0.1) -> float:
    """The true accept rate at a false accept rate, over all pairs of embeddings (M, D) with identities (M,).

    Linear between the corners of the curve; where it is vertical, its upper end.

    Raises:
        ValueError: ``far`` is not in 0..1, or as of :func:`roc`.
    """
    if not 0 <= far <= 1:
        raise ValueError(f"far: got {far}, expected a number in [0, 1]")
    return float(_at(*roc(embeddings, ids), far))


def _at(far: Array, tpr: Array, value: float) -> float:
    below = int(np.searchsorted(far, value, side="right")) - 1
    if far[below] == value or below + 1 == len(far):
        return float(tpr[below])
    part = (value - far[below]) / (far[below + 1] - far[below])
    return float(tpr[below] + part * (tpr[below + 1] - tpr[below]))


def _similarities(embeddings: Array, ids: Array) -> tuple[Array, Array]:
    """Cosines of all pairs of one identity and of all of two, both falling."""
    vectors, known = _known(embeddings, ids)
    same, other = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for start in range(0, len(vectors), 1024):  # a block of rows at a time: only half of all is kept
        block = vectors[start : start + 1024] @ vectors.T
        later = np.arange(len(vectors)) > np.arange(start, start + len(block))[:, None]
        equal = known[start : start + 1024, None] == known
        same.append(block[later & equal])
        other.append(block[later & ~equal])
    return np.sort(np.concatenate(same))[::-1], np.sort(np.concatenate(other))[::-1]


def _known(embeddings: Array, ids: Array) -> tuple[Array, Array]:
    """Embeddings of known identity at length 1, float32, and their ids."""
    if embeddings.ndim != 2 or ids.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings, ids: expected shapes (M, D) and (M,), got {embeddings.shape} and {ids.shape}")
    rows = ids >= 0
    if rows.sum() > MOST:
        raise ValueError(f"embeddings: got {rows.sum()}, expected {MOST} at most: choose fewer frames")
    vectors = np.asarray(embeddings[rows], np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-12)), ids[rows]


def largest_people(frames: Array, ids: Array, sizes: Array, count: int = LARGEST, span: int = FRAMES) -> Array:
    """Which embeddings (M,) are of the largest people of the first frame, within so many frames from it on.

    Large is by the Gaussian radius, in whole pixels, of the box. Who has no identity may be among the largest, and is
    then left out, as in the public code.

    Args:
        frames: (M,) numbers of the frames, which rise.
        ids: (M,) identities, below 0 where unknown.
        sizes: (M, 2) width and height in cells of 4 pixels of the network's input.
        count: how many people.
        span: frames.
    """
    if not len(frames):
        return np.zeros(0, bool)
    first = np.flatnonzero(frames == frames[0])
    pixels = np.round(CELL * sizes[first])
    radii = [int(max(0.0, gaussian_radius(math.ceil(h), math.ceil(w)))) for w, h in pixels.tolist()]
    chosen = ids[first[np.argsort(-np.array(radii), kind="stable")[:count]]]
    return np.asarray((frames < frames[0] + span) & (ids >= 0) & np.isin(ids, chosen))


def retrieval(embeddings: Array, ids: Array) -> tuple[float, float]:
    """Rank-1 and mean average precision: each embedding (M, D) asks for the others of its identity (M,).

    All others of known identity are ranked by cosine. Who has no other of its identity does not ask.
    """
    vectors, known = _known(embeddings, ids)
    best, precisions = [], []
    for row in range(len(vectors)):
        similarity = vectors @ vectors[row]
        similarity[row] = -np.inf
        hits = (known == known[row])[np.argsort(-similarity, kind="stable")[:-1]]
        found = np.flatnonzero(hits)
        if len(found):
            best.append(hits[0])
            precisions.append((np.arange(1, len(found) + 1) / (found + 1)).mean())
    return (float(np.mean(best)), float(np.mean(precisions))) if best else (0.0, 0.0)
