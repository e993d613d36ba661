"""When two runtimes found the same."""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Detections


def assert_same(
    found: Detections,
    expected: Detections,
    share: float = 1.0,
    pixels: float = 0.02,
    score: float = 1e-4,
    embedding: float = 1e-3,
) -> None:
    """Raise AssertionError unless both are the same detections, in whatever order.

    A ``share`` of them must have its like: of the same class, with boxes that differ by less than ``pixels``; scores
    and embeddings of these may differ by ``score`` and ``embedding``.
    """
    assert len(found) == len(expected) > 0
    distances = np.abs(found.boxes[:, None] - expected.boxes).max(axis=2)
    rows, columns = np.nonzero((distances < pixels) & (found.labels[:, None] == expected.labels))
    assert min(len(set(rows)), len(set(columns))) >= share * len(expected)
    np.testing.assert_allclose(found.scores[rows], expected.scores[columns], atol=score)
    np.testing.assert_allclose(found.embeddings[rows], expected.embeddings[columns], rtol=embedding, atol=embedding)
