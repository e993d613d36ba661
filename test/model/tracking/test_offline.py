"""Offline tracking: both directions of time, links over gaps, interpolation; tiny scenes with known answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdtrack_model import tracking
from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.structures import Array, Detections
from qdtrack_model.tracking.offline import Follow, Trajectory, agreed, track_offline

RATE = 10.0
LOOKS = np.eye(4) * 8  # embeddings of four objects


def follow() -> Follow:
    """An online tracker that forgets after a third of a second."""
    return tracking.build(QuasiDenseConfig(memory_span=0.35, backdrop_span=0.1)).update


def scene(
    *objects: dict[int, tuple[float, float]], looks: Array = LOOKS, rows: Sequence[int] = range(4)
) -> list[Detections]:
    """Detections of 40 frames: of each object the x and the score by frame, its look, and in which row it walks."""
    frames = []
    for frame in range(40):
        seen = [(i, *places[frame]) for i, places in enumerate(objects) if frame in places]
        boxes = np.array([[x, 50 * rows[i], x + 20, 50 * rows[i] + 40] for i, x, _ in seen]).reshape(-1, 4)
        scores, embeddings = [score for *_, score in seen], looks[[i for i, *_ in seen]]
        frames.append(Detections(boxes, scores, np.zeros(len(seen)), embeddings.reshape(-1, 4)))
    return frames


def walk(first: int, last: int, start: float = 10.0, score: float = 0.9) -> dict[int, tuple[float, float]]:
    """An object that moves four pixels a frame."""
    return {frame: (start + 4 * frame, score) for frame in range(first, last + 1)}


def offline(frames: list[Detections]) -> list[Trajectory]:
    return track_offline(frames, [i / RATE for i in range(len(frames))], follow)


def test_an_object_that_was_forgotten_keeps_its_number() -> None:
    places = walk(0, 10) | walk(25, 39)
    (found,) = offline(scene(places))
    assert found.frames.tolist() == [*range(11), *range(25, 40)], "a gap of 1.5 s is not interpolated"
    assert (found.scores > 0).all()


def test_short_gaps_are_filled_along_the_way() -> None:
    (found,) = offline(scene(walk(0, 10) | walk(15, 30)))
    assert found.frames.tolist() == list(range(31))
    assert found.scores[11:15].tolist() == [0] * 4
    np.testing.assert_allclose(found.boxes[:, 0], 10 + 4 * np.arange(31), atol=1e-3)


def test_backwards_an_object_is_found_before_it_was_sure() -> None:
    weak = {frame: (x, 0.6 if frame < 8 else 0.9) for frame, (x, _) in walk(0, 30).items()}
    (found,) = offline(scene(weak))
    assert found.frames[0] == 0, "the online tracker starts it at frame 8"


def test_what_begins_too_far_away_or_looks_otherwise_is_another() -> None:
    first, place, elsewhere = walk(0, 10), walk(20, 39), walk(20, 39, start=210)
    alike, unlike = LOOKS[[0, 0]], np.stack([LOOKS[0], -LOOKS[0]])
    assert len(offline(scene(first, place, looks=alike, rows=(0, 0)))) == 1
    assert len(offline(scene(first, elsewhere, looks=alike, rows=(0, 0)))) == 2
    assert len(offline(scene(first, place, looks=unlike, rows=(0, 0)))) == 2


def test_mistakes_are_left_out() -> None:
    flash, doubt = walk(5, 7), {frame: (x, 0.55 if frame % 9 else 0.9) for frame, (x, _) in walk(0, 30).items()}
    frames = scene(flash, doubt, walk(0, 39))
    assert len(track_offline(frames, [i / RATE for i in range(40)], follow, least_score=0.7)) == 1
    assert len(track_offline(frames, [i / RATE for i in range(40)], follow, least_score=0.5)) == 2


def test_nothing_gives_nothing() -> None:
    assert offline([Detections.empty(4)] * 5) == []


def test_what_the_passes_dispute_is_cut() -> None:
    forwards, backwards = np.array([1, 2, -1, 4, -1, -1]), np.array([1, 3, -1, 4, 5, -1])
    # 1 goes on as 2 or as 3; that 4 goes on as 5 only one pass says, and the other has nothing against it.
    assert agreed(forwards, backwards).tolist() == [1, -1, -1, 4, 5, -1]
    # Both ends must be free: what one pass lets end in 2 the other reaches from 0.
    assert agreed(np.array([2, -1, -1]), np.array([-1, 2, -1])).tolist() == [-1, -1, -1]
