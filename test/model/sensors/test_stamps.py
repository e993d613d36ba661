"""What stamps say of images: small steps back are late images, large or lasting ones a clock set back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdtrack_model.sensors.stamps import JUMP, Order, StampOrder

NEXT, REPEATED, LATE, BACK = Order.NEXT, Order.REPEATED, Order.LATE, Order.BACK
MS = 1_000_000


@pytest.mark.parametrize(
    ("stamps", "orders"),
    [
        ([10, 20, 30], [NEXT, NEXT, NEXT]),
        ([10, 10, 20, 20], [NEXT, REPEATED, NEXT, REPEATED]),
        ([10, 30, 20, 40], [NEXT, NEXT, LATE, NEXT]),  # two images changed places
        ([5000, 5040, 3000, 3040], [NEXT, NEXT, BACK, NEXT]),  # a bag began anew
        ([500, 300, 340, 380, 420], [NEXT, LATE, LATE, BACK, NEXT]),  # the clock was set back by less than a second
        ([500, 300, 540, 340, 580, 380], [NEXT, LATE, NEXT, LATE, NEXT, LATE]),  # two drivers on one topic
        ([500, 300, 250, 200, 150], [NEXT, LATE, LATE, LATE, LATE]),  # played backwards: nothing to follow
    ],
)
def test_order(stamps: list[int], orders: list[Order]) -> None:
    order = StampOrder()
    assert [order.judge(stamp * MS) for stamp in stamps] == orders


@given(st.lists(st.integers(0, 5 * JUMP), min_size=1))
def test_what_is_tracked_only_ascends_between_jumps_and_lasting_silence_is_impossible(stamps: list[int]) -> None:
    order, newest, ascended = StampOrder(), -1, 0
    previous = -1
    for stamp in stamps:
        judged = order.judge(stamp)
        if judged is NEXT:
            assert stamp > newest
        if judged in (NEXT, BACK):
            newest, ascended = stamp, 0
        else:
            assert newest - JUMP <= stamp <= newest
            ascended = ascended + 1 if stamp > previous and judged is LATE else 1
            assert ascended < 4
        previous = stamp
