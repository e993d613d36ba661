"""Which tracks are told of, and the gallery in which forgotten ones are found again by appearance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.structures import Detections, TrackState
from qdtrack_model.tracking.quasi_dense import QuasiDenseTracker

ANNA, BEN, CARL = np.eye(3, dtype=np.float32)
ALIKE = 0.9 * ANNA + np.sqrt(1 - 0.81) * BEN  # cosine 0.9 with ANNA


def tracker(**settings: Any) -> QuasiDenseTracker:
    return QuasiDenseTracker(QuasiDenseConfig(**{"memory_span": 3.0, "gallery_span": 20.0, **settings}))


def seen(*people: Any, labels: Any = None) -> Detections:
    """People side by side, by what they look like."""
    boxes = [[100 * place, 50, 100 * place + 40, 150] for place in range(len(people))]
    return Detections(boxes, [0.9] * len(people), labels or [0] * len(people), np.array(people).reshape(-1, 3))


def run(made: QuasiDenseTracker, *frames: Detections) -> list[list[int]]:
    """The ids in each frame, at times 0, 1, 2..., by place from left to right."""
    tracks = [made.update(frame, time) for time, frame in enumerate(frames)]
    return [one.ids[np.argsort(one.boxes[:, 0])].tolist() for one in tracks]


NOBODY = seen()


def test_off_by_default_a_forgotten_track_is_gone() -> None:
    assert run(tracker(gallery_span=0.0), seen(ANNA), seen(ANNA), *[NOBODY] * 5, seen(ANNA))[-1] == [1]


def test_a_forgotten_track_is_found_again_with_its_age() -> None:
    made = tracker()
    run(made, seen(ANNA, BEN), seen(ANNA, BEN), *[NOBODY] * 5)
    back = made.update(seen(CARL, BEN), 8.0)
    assert dict(zip(back.ids.tolist(), back.ages.tolist(), strict=True)) == {2: 0.0, 1: 8.0}
    assert set(back.states[back.ids == 1]) == {TrackState.ACTIVE}
    assert run(tracker(), seen(ANNA), seen(ANNA), *[NOBODY] * 5, seen(ANNA), seen(ANNA))[-2:] == [[0], [0]]


@pytest.mark.parametrize(
    ("settings", "look", "label", "gap", "found"),
    [
        ({}, ALIKE, 0, 5, True),
        ({"gallery_score": 0.95}, ALIKE, 0, 5, False),
        ({}, ANNA, 1, 5, False),
        ({}, ANNA, 0, 18, True),
        ({}, ANNA, 0, 20, False),
    ],
)
def test_only_what_is_alike_of_its_class_and_soon_enough(
    settings: dict[str, Any], look: Any, label: int, gap: int, found: bool
) -> None:
    frames = [seen(ANNA), seen(ANNA), *[NOBODY] * gap, seen(look, labels=[label])]
    assert run(tracker(**settings), *frames)[-1] == ([0] if found else [1])


def test_each_is_found_once_and_the_most_alike_first() -> None:
    frames = [seen(ANNA, CARL), seen(ANNA, CARL), *[NOBODY] * 5, seen(ALIKE, ANNA, CARL)]
    assert run(tracker(), *frames)[-1] == [2, 0, 1]


def test_what_was_seen_once_is_not_kept() -> None:
    assert run(tracker(), seen(ANNA), *[NOBODY] * 5, seen(ANNA))[-1] == [1]


def test_the_gallery_is_forgotten_with_all_else() -> None:
    frames = [seen(ANNA), seen(ANNA), *[NOBODY] * 5]
    made = tracker()
    run(made, *frames)
    assert made.update(seen(ANNA), 2.0).ids.tolist() == [1]  # time ran backwards
    made = tracker()
    run(made, *frames)
    made.reset(7)
    assert made.update(seen(ANNA), 8.0).ids.tolist() == [7]


def test_tracks_are_told_of_from_the_second_or_third_detection_on() -> None:
    frames = [seen(ANNA), seen(ANNA, BEN), NOBODY, seen(ANNA, BEN), seen(ANNA, BEN)]
    assert run(tracker(min_hits=1), *frames) == [[0], [0, 1], [], [0, 1], [0, 1]]
    assert run(tracker(min_hits=2), *frames) == [[], [0], [], [0, 1], [0, 1]]
    assert run(tracker(min_hits=3), *frames) == [[], [], [], [0], [0, 1]]


def test_what_was_not_told_of_is_not_remembered_aloud() -> None:
    made = tracker(min_hits=2)
    run(made, seen(ANNA), seen(ANNA, BEN), NOBODY)
    assert made.remembered().ids.tolist() == [0]


def scored(*scores: float) -> list[Detections]:
    """Anna alone, each time where she was."""
    return [Detections([[0, 50, 40, 150]], [score], [0], ANNA[None]) for score in scores]


@pytest.mark.parametrize(
    ("momentum", "told"),
    [
        (0.0, [True, True, False, False, True]),  # mean of all: .8, .6, .467, .45, .54
        (0.5, [True, True, False, False, True]),  # .8, .6, .4, .4, .65
        (1.0, [True, False, False, False, True]),  # the newest alone
    ],
)
def test_tracks_are_told_of_while_their_mean_score_is_high_enough(momentum: float, told: list[bool]) -> None:
    frames = scored(0.8, 0.4, 0.2, 0.4, 0.9)
    settings = {"momentum": momentum, "object_score": 0.1, "init_score": 0.5}
    assert run(tracker(**settings), *frames) == [[0]] * 5
    assert run(tracker(**settings, report_score=0.5), *frames) == [[0] if one else [] for one in told]


def test_what_scores_too_little_by_now_is_lost_until_it_scores_enough() -> None:
    made = tracker(momentum=0.0, object_score=0.05, report_score=0.5)
    run(made, *scored(0.9, 0.2, 0.1))
    assert made.remembered().ids.tolist() == [0]
    assert made.remembered().states.tolist() == [TrackState.LOST]
    assert [made.update(frame, 3 + n).ids.tolist() for n, frame in enumerate(scored(0.9, 0.9))] == [[0], [0]]
    assert not len(made.remembered())


def test_what_never_scored_enough_is_not_remembered_aloud() -> None:
    made = tracker(init_score=0.3, report_score=0.5)
    run(made, *scored(0.4), NOBODY)
    assert not len(made.remembered())
