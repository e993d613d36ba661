"""What crosses the border between the stages is checked there, once, and named where it is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdtrack_model.structures import Detections, Tracks

GOOD: dict[str, Any] = {
    "boxes": [[0, 0, 2, 2], [1, 1, 3, 3]], "scores": [0.5, 0.9], "labels": [0, 1], "embeddings": np.ones((2, 4)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("boxes", [[0, 0, 2, 2], [1, np.nan, 3, 3]], r"boxes: row 1 is not finite: \[.*nan.*\]; drop such rows"),
        ("boxes", [[0, 0, 2, np.inf], [1, 1, 3, 3]], "boxes: row 0 is not finite"),
        ("boxes", [0, 0, 2, 2], r"boxes: expected shape \('any', 4\), got \(4,\)"),
        ("boxes", [[0, 0, 2, 2]], r"scores: expected shape \(1,\), got \(2,\)"),
        ("boxes", "here", "boxes: expected numbers of type float32"),
        ("scores", [0.5, np.nan], "scores: row 1 is not finite"),
        ("scores", [[0.5], [0.9]], r"scores: expected shape \(2,\)"),
        ("labels", [0], r"labels: expected shape \(2,\), got \(1,\)"),
        ("embeddings", np.ones((3, 4)), r"embeddings: expected shape \(2, 'any'\), got \(3, 4\)"),
        ("embeddings", np.full((2, 4), np.nan), "embeddings: row 0 is not finite"),
    ],
)
def test_detections_that_cannot_be_are_named(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(**GOOD | {name: value})


def test_types_are_made_to_fit() -> None:
    wide = np.arange(16.0).reshape(2, 8)
    detections = Detections(**GOOD | {"boxes": wide[:, ::2], "embeddings": np.zeros((2, 0))})
    assert detections.boxes.dtype == np.float32 and detections.boxes.flags.c_contiguous
    assert detections.labels.dtype == np.int64
    np.testing.assert_array_equal(detections.boxes, wide[:, ::2])
    assert detections.embeddings.shape == (2, 0)
    assert detections[np.array([False, True])].scores.tolist() == [np.float32(0.9)]


def test_nothing_at_all_is_valid() -> None:
    assert Detections([], [], [], []).boxes.shape == (0, 4)  # type: ignore[arg-type]
    assert Detections.empty(64).embeddings.shape == (0, 64)
    assert (len(Tracks.empty()), Tracks.empty(3).embeddings.shape) == (0, (0, 3))
