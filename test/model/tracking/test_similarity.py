"""Match scores and duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from qdtrack_model.tracking.similarity import bisoftmax, cosine, row_softmax, suppressed

LOGITS = np.array([[4.0, 1.0, 0.0], [3.9, 2.0, -1.0]], np.float32)


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values.astype(np.float64))
    return powers / powers.sum(axis, keepdims=True)


def test_bisoftmax_is_the_mean_of_both_directions():
    np.testing.assert_allclose(bisoftmax(LOGITS), (softmax(LOGITS, 0) + softmax(LOGITS, 1)) / 2, rtol=1e-5)
    np.testing.assert_allclose(bisoftmax(LOGITS.T), bisoftmax(LOGITS).T, rtol=1e-6)
    np.testing.assert_allclose(row_softmax(LOGITS), softmax(LOGITS, 1), rtol=1e-5)


def test_a_ruled_out_pair_scores_nothing_and_weighs_nothing():
    allowed = np.array([[True, True, False], [False, True, False]])
    scores = bisoftmax(LOGITS, allowed)
    assert not scores[~allowed].any()
    assert scores[0, 0] == pytest.approx((softmax(LOGITS[:1, :2], 1)[0, 0] + 1) / 2, rel=1e-5)
    assert not bisoftmax(LOGITS, np.zeros_like(allowed)).any()


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_dot_products_do_not_overflow(size):
    scores = bisoftmax(LOGITS * np.float32(size))
    assert np.isfinite(scores).all()
    assert scores[0, 0] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_compare(shape):
    assert bisoftmax(np.zeros(shape, np.float32)).shape == shape


def test_cosine_of_a_zero_vector_is_zero():
    first, second = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[6.0, 8.0], [-4.0, 3.0]])
    np.testing.assert_allclose(cosine(first, second), [[1, 0], [0, 0]], atol=1e-7)


def test_only_earlier_boxes_shadow():
    ious = np.array([[1, 0.6, 0.0], [0.6, 1, 0.4], [0.0, 0.4, 1]], np.float32)
    assert suppressed(ious, 0.5).tolist() == [False, True, False]
    assert suppressed(ious, np.array([0.1, 0.7, 0.3])).tolist() == [False, False, True]
    assert suppressed(np.zeros((2, 2), np.float32), 0.0).tolist() == [False, False]  # empty boxes overlap nothing
