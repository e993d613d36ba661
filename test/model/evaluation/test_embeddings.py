"""Scores of embeddings against the public codes' numbers and on tiny sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.evaluation.embeddings import (
    FARS,
    largest_people,
    retrieval,
    roc,
    score_embeddings,
    tpr_at_far,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "embedding_evaluation.npz"


@pytest.fixture(params=range(3))
def case(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as stored:
        prefix = f"{request.param}_"
        found = {key.removeprefix(prefix): stored[key] for key in stored.files if key.startswith(prefix)}
    return found | {"frames": np.repeat(np.arange(1, len(found["n"]) + 1), found["n"])}


def chosen(case: dict[str, np.ndarray], which: str) -> np.ndarray:
    if which == "all":
        return case["ids"] >= 0
    return largest_people(case["frames"], case["ids"], case["wh"])


@pytest.mark.parametrize("which", ["all", "largest"])
def test_scores_are_the_public_ones(case: dict[str, np.ndarray], which: str) -> None:
    rows = chosen(case, which)
    np.testing.assert_array_equal(rows, case[f"used_{which}"])
    embeddings, ids = case["embeddings"][rows], case["ids"][rows]
    scores = score_embeddings(embeddings, ids)
    np.testing.assert_array_equal(scores.pairs, case[f"pairs_{which}"])
    np.testing.assert_allclose(scores.tpr, case[f"tpr_{which}"], rtol=0, atol=1e-12)
    assert tuple(case["far"]) == pytest.approx(FARS)
    far, tpr = roc(embeddings, ids)
    np.testing.assert_allclose(np.interp(case["roc_far"], far, tpr), case[f"roc_{which}"], rtol=0, atol=1e-4)
    assert (np.diff(far) >= 0).all()
    assert (np.diff(tpr) >= 0).all()


def test_perfect_and_useless_embeddings() -> None:
    ids = np.repeat(np.arange(4), 5)
    perfect = score_embeddings(np.eye(4)[ids], ids)
    assert perfect.tpr == (1.0,) * 6
    assert (perfect.rank1, perfect.mean_ap) == (1.0, 1.0)
    useless = score_embeddings(np.ones((20, 3)), ids)  # all pairs are accepted at once
    np.testing.assert_allclose(useless.tpr, FARS)


def test_a_step_counts_pairs_that_are_equally_alike_together() -> None:
    # Two of identity 0 at cosine 0, as far apart as one of them from the stranger; the other is nearer to it.
    vectors = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.8, 0.6]])
    ids = np.array([0, 0, 1])
    assert tpr_at_far(vectors, ids, 0.25) == 0
    assert tpr_at_far(vectors, ids, 0.5) == 0
    assert tpr_at_far(vectors, ids, 0.75) == 0.5  # half of the step
    assert tpr_at_far(vectors, ids, 1.0) == 1


def test_unknown_identities_take_no_part() -> None:
    generator = np.random.default_rng(0)
    vectors, ids = generator.standard_normal((30, 8)), np.arange(30) % 5
    more = np.concatenate([vectors, generator.standard_normal((10, 8))]), np.concatenate([ids, np.full(10, -1)])
    assert score_embeddings(*more) == score_embeddings(vectors, ids)


def test_the_largest_of_the_first_frame_for_a_while() -> None:
    frames = np.array([5, 5, 5, 6, 6, 105, 105])
    ids = np.array([1, 2, -1, 2, 1, 1, 2])
    sizes = np.array([[5, 10], [10, 20], [20, 40], [1, 1], [9, 9], [5, 10], [10, 20]], float)
    rows = largest_people(frames, ids, sizes, count=2)  # the largest has no identity and takes a place
    assert rows.tolist() == [False, True, False, True, False, False, False]
    assert largest_people(frames[:0], ids[:0], sizes[:0]).shape == (0,)


def test_retrieval_ranks_all_others() -> None:
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.6], [0.0, 1.0]])
    # 0 finds 1 first; 1 finds 0 first; 2 finds 1, 0, 3: its own last; 3 finds 2 first
    assert retrieval(vectors, np.array([0, 0, 1, 1])) == (0.75, pytest.approx((1 + 1 + 1 / 3 + 1) / 4))


@pytest.mark.parametrize(
    ("embeddings", "ids", "message"),
    [
        (np.ones((3, 2)), np.arange(3), "0 pairs are of one identity and 3 of two"),
        (np.ones((3, 2)), np.zeros(3, int), "3 pairs are of one identity and 0 of two"),
        (np.ones((3, 2)), np.full(3, -1), "0 pairs"),
        (np.ones((0, 2)), np.zeros(0, int), "0 pairs"),
        (np.ones((3, 2)), np.zeros(2, int), "expected shapes"),
        (np.ones((20_001, 1), np.float32), np.zeros(20_001, int), "expected 20000 at most"),
    ],
)
def test_what_cannot_be_scored_is_refused(embeddings: np.ndarray, ids: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        roc(embeddings, ids)


def test_a_rate_is_a_part() -> None:
    with pytest.raises(ValueError, match=r"far: got 1.5, expected a number in \[0, 1\]"):
        tpr_at_far(np.eye(2), np.arange(2), 1.5)
