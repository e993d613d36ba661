"""Similarity of detections and memory entries, and duplicates among detections (NumPy)."""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array

_IMPOSSIBLE = np.float32(np.finfo(np.float32).min / 4)  # finite: a row without anything allowed gives no NaN
_TINY = np.float32(1e-30)


def row_softmax(logits: Array, allowed: Array | None = None) -> Array:
    """Softmax (N, M) of each row over its ``allowed`` entries; 0 elsewhere and in rows without any."""
    return _softmax(_masked(logits, allowed), axis=1, masked=allowed is not None)


def bisoftmax(logits: Array, allowed: Array | None = None) -> Array:
    """Mean (N, M) of the softmax over rows and the softmax over columns.

    High only where detection and memory entry prefer each other; Pang et al., CVPR 2021, eq. 5.

    Args:
        logits: (N, M) dot products of detections and memory entries.
        allowed: (N, M) boolean; other pairs score 0 and do not take part in the sums.
    """
    logits = _masked(logits, allowed)
    scores = _softmax(logits, axis=1, masked=allowed is not None, total=0.5)
    scores += _softmax(logits, axis=0, masked=allowed is not None, total=0.5)
    return scores


def _masked(logits: Array, allowed: Array | None) -> Array:
    return logits if allowed is None else np.where(allowed, logits, _IMPOSSIBLE)


def _softmax(logits: Array, axis: int, masked: bool, total: float = 1.0) -> Array:
    """Powers (N, M) that sum to ``total`` along an axis."""
    if logits.size == 0:
        return np.zeros_like(logits)
    peaks = logits.max(axis=axis, keepdims=True)
    if masked:
        peaks = np.maximum(peaks, _IMPOSSIBLE / 2)  # where nothing is allowed, every power is 0 instead of 1
    powers = logits - peaks
    np.exp(powers, out=powers)
    ones = np.ones(powers.shape[axis], powers.dtype)
    sums = (powers @ ones)[:, None] if axis == 1 else ones @ powers  # twice as fast as sum()
    if masked:
        sums = np.maximum(sums, _TINY)
    powers *= np.float32(total) / sums
    return powers


def norms(embeddings: Array) -> Array:
    """Lengths (N,) of embeddings (N, D)."""
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings)))


def unit(embeddings: Array) -> Array:
    """Embeddings (N, D) at length 1; a zero vector stays zero."""
    return np.asarray(embeddings / np.maximum(norms(embeddings), 1e-12)[:, None])


def cosine(first: Array, second: Array) -> Array:
    """Cosines (N, M) of embeddings (N, D) and (M, D); 0 for a zero vector."""
    return unit(first) @ unit(second).T


def suppressed(ious: Array, limits: Array | float, ranks: Array | None = None) -> Array:
    """Which boxes (N,) overlap any earlier box by more than their limit; suppressed boxes suppress others, too.

    Args:
        ious: (N, M) intersection over union with all boxes in order of rank.
        limits: one limit, or (N,) one for each box.
        ranks: (N,) of the boxes among the M, in rising order; 0 .. N - 1 when None.
    """
    if not ious.size:
        return np.zeros(len(ious), bool)
    over = ious > np.asarray(limits, ious.dtype).reshape(-1, 1)
    rows = np.arange(len(over))
    first = over.argmax(axis=1)
    return np.asarray((first < (rows if ranks is None else ranks)) & over[rows, first])
