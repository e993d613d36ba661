"""Frame pairs: which frames are drawn, and that a pair is always the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from qdtrack_model.data.pairs import FramePairs, PairConfig
from qdtrack_model.data.samples import LabelledImage

SPAN = 3


def frames(count: int) -> list[LabelledImage]:
    """Frames whose one object has the number of the frame as its id."""
    image = np.full((64, 64, 3), 90, np.uint8)
    box = np.array([[16.0, 16, 48, 48]])
    return [LabelledImage(image, box, np.array([number]), np.zeros(1, int)) for number in range(count)]


def drawn(counts: list[int], span: int, pairs: int = 1200) -> Counter[tuple[int, int]]:
    """How often each pair of key and reference frame comes in sequences of so many frames."""
    config = PairConfig((32, 32), (1.0, 1.0), reference_range=span)
    dataset = FramePairs([frames(count) for count in counts], config, seed=0, count=pairs)
    return Counter((int(key.ids[0]), int(reference.ids[0])) for key, reference in (dataset[i] for i in range(pairs)))


def test_the_reference_is_any_other_frame_in_range() -> None:
    pairs = drawn([8], SPAN)
    assert pairs.keys() == {(k, r) for k in range(8) for r in range(8) if 0 < abs(k - r) <= SPAN}
    for key in range(8):
        times = [count for (k, _), count in pairs.items() if k == key]
        assert min(times) > 0.4 * max(times), f"frame {key} has favourites: {times}"


@pytest.mark.parametrize(("count", "span"), [(8, 0), (1, SPAN)])
def test_the_same_frame_where_there_is_no_other(count: int, span: int) -> None:
    assert drawn([count], span, 200).keys() == {(k, k) for k in range(count)}


@pytest.mark.parametrize(("count", "span", "local"), [(8, 0, True), (1, SPAN, True), (8, SPAN, False)])
def test_unknown_identities_get_numbers_of_their_own_within_one_frame(count: int, span: int, local: bool) -> None:
    boxes = np.array([[0.0, 0, 20, 20], [20, 0, 40, 20], [0, 30, 20, 60], [30, 30, 60, 60]])
    frame = LabelledImage(frames(1)[0].image, boxes, np.array([-1, 4, -1, 0]), np.zeros(4, int))
    config = PairConfig((64, 64), (1.0, 1.0), reference_range=span)
    for key, reference in FramePairs([[frame] * count], config, seed=0, count=9):
        for view in (key, reference):
            assert len(view.ids) == 4
            assert view.ids[[1, 3]].tolist() == [4, 0]
            assert len(set(view.ids.tolist())) == (4 if local else 3)
            assert (view.ids.min() >= 0) == local
        np.testing.assert_array_equal(key.ids, reference.ids)
    assert frame.ids.tolist() == [-1, 4, -1, 0], "the data stay as they are"


def test_a_pair_of_a_seed_is_always_the_same() -> None:
    config = PairConfig((32, 32), reference_range=SPAN)
    first, again = (FramePairs([frames(6)], config, seed=5, count=9) for _ in range(2))
    for number in (8, 0, 4):
        for one, other in zip(first[number], again[number], strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            np.testing.assert_array_equal(one.boxes, other.boxes)
            np.testing.assert_array_equal(one.ids, other.ids)
    other_seed = FramePairs([frames(6)], config, seed=6, count=9)
    assert any(not np.array_equal(first[i][0].boxes, other_seed[i][0].boxes) for i in range(9))
