"""How alike detections and memory entries are, and duplicates among detections (NumPy)."""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array


def row_softmax(logits: Array, allowed: Array | None = None) -> Array:
    """Softmax (N, M) of each row over its ``allowed`` entries; 0 elsewhere and in rows without any."""
    return _softmax(logits, allowed, axis=1)


def bisoftmax(logits: Array, allowed: Array | None = None) -> Array:
    """Mean (N, M) of the softmax over rows and the softmax over columns.

    High only where detection and memory entry prefer each other; Pang et al., CVPR 2021, eq. 5.

    Args:
        logits: (N, M) dot products of detections and memory entries.
        allowed: (N, M) boolean; other pairs score 0 and do not take part in the sums.
    """
    return (_softmax(logits, allowed, axis=1) + _softmax(logits, allowed, axis=0)) / 2


def _softmax(logits: Array, allowed: Array | None, axis: int) -> Array:
    if logits.shape[axis] == 0:
        return np.zeros_like(logits)
    if allowed is None:
        powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
        return powers / powers.sum(axis=axis, keepdims=True)
    lowest = np.finfo(logits.dtype).min / 4  # finite, so that nothing allowed gives no NaN
    masked = np.where(allowed, logits, lowest)
    powers = np.exp(masked - masked.max(axis=axis, keepdims=True)) * allowed
    return powers / np.maximum(powers.sum(axis=axis, keepdims=True), np.finfo(logits.dtype).tiny)


def unit(embeddings: Array) -> Array:
    """Embeddings (N, D) at length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, 1e-12)


def cosine(first: Array, second: Array) -> Array:
    """Cosines (N, M) of embeddings (N, D) and (M, D); 0 for a zero vector."""
    return unit(first) @ unit(second).T


def shadowed(overlaps: Array, limits: Array | float) -> Array:
    """Which boxes (N,) overlap any earlier box by more than their limit.

    Args:
        overlaps: (N, N) intersection over union, in order of rank.
        limits: one limit, or (N,) one for each box.
    """
    over = overlaps > np.asarray(limits, overlaps.dtype).reshape(-1, 1)
    return np.asarray(np.tril(over, k=-1).any(axis=1))
