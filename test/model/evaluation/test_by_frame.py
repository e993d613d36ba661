"""Scores frame by frame are those of whole sequences, and what happened is what was counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.data.readers.mot import MotBoxes, read_mot
from qdtrack_model.evaluation import evaluate
from qdtrack_model.evaluation.by_frame import by_frame
from qdtrack_model.evaluation.frames import scored_frames
from qdtrack_model.evaluation.whole import whole


def crowd(seed: int) -> tuple[MotBoxes, MotBoxes]:
    """Objects close enough to be confused, in 60 frames, and results with jitter, gaps, swaps and false boxes."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    owners = np.arange(8)
    for frame in range(1, 61):
        if rng.random() < 0.2:
            owners[rng.integers(8)] = rng.integers(8, 40)
        for identity in range(8):
            if rng.random() < 0.15:
                continue
            left = 7.0 * identity + frame
            truth.append((frame, identity, left))
            if rng.random() < 0.8 and (frame, owners[identity]) not in {row[:2] for row in found}:
                found.append((frame, owners[identity], left + rng.normal(0, 3)))
        found.append((frame, 100 + frame // 5, 500.0))
    return boxes(truth), boxes(found)


def boxes(rows: list[tuple[int, int, float]]) -> MotBoxes:
    table, ones = np.array(rows, float), np.ones(len(rows))
    corners = np.stack([table[:, 2], 0 * ones, table[:, 2] + 10, 10 * ones], axis=1)
    return MotBoxes(table[:, 0], table[:, 1], corners, ones, ones, ones)


@pytest.mark.parametrize("seed", range(5))
def test_the_whole_is_that_of_motmetrics_and_trackeval(seed: int) -> None:
    truth, found = crowd(seed)
    expected, parts = evaluate(truth, found), by_frame(truth, found)
    assert parts.whole.to_mapping() == expected.to_mapping()
    assert whole(lambda: scored_frames(truth, found)).to_mapping() == expected.to_mapping()


@pytest.mark.parametrize("name", ["TUD-Campus", "TUD-Stadtmitte"])
def test_the_whole_of_a_real_tracker(clips: Path, name: str) -> None:
    truth = read_mot(clips / "mot15_tud" / name / "gt" / "gt.txt")
    [results] = [path for path in (clips / "mot15_tud").rglob("*.txt") if name in str(path) and "gt" not in path.parts]
    found = read_mot(results)
    expected = evaluate(truth, found).to_mapping()
    assert by_frame(truth, found).whole.to_mapping() == expected
    assert whole(lambda: scored_frames(truth, found)).to_mapping() == expected


def test_results_that_meet_nothing_and_no_results() -> None:
    truth = boxes([(1, 1, 0.0), (2, 1, 0.0)])
    for found in (boxes([(1, 5, 90.0)]), truth[:0]):
        expected = evaluate(truth, found).to_mapping()
        assert whole(lambda found=found: scored_frames(truth, found)).to_mapping() == expected  # type: ignore[misc]


def test_frames_add_up() -> None:
    parts = by_frame(*crowd(7))
    once = parts.scores(np.ones(len(parts.frames)))
    told = parts.whole.to_mapping()
    assert {name: told[name] for name in once if name in told} == pytest.approx(
        {name: value for name, value in once.items() if name in told}, abs=1e-6
    )
    twice = parts.scores(np.full(len(parts.frames), 2))
    assert (twice["mota"], twice["idf1"], twice["hota"]) == pytest.approx((once["mota"], once["idf1"], once["hota"]))
    assert np.isnan(parts.scores(np.zeros(len(parts.frames)))["mota"])


def test_what_happened_is_what_was_counted() -> None:
    parts = by_frame(*crowd(3))
    events, scores = parts.events, parts.whole
    assert len(events.switches) == scores.id_switches > 0
    assert len(events.misses) == scores.false_negatives > 0
    assert len(events.false_positives) == scores.false_positives > 0
    assert len(events.matches) == scores.objects - scores.false_negatives
    frame, thing, before, after = events.switches[0].tolist()
    earlier = events.matches[(events.matches[:, 0] < frame) & (events.matches[:, 1] == thing)]
    assert earlier[-1, 2] == before != after


def test_a_switch_of_two_objects_is_told() -> None:
    truth = boxes([(frame, thing, 20.0 * thing) for frame in (1, 2, 3) for thing in (1, 2)])
    found = boxes([(1, 5, 20.0), (1, 6, 40.0), (2, 5, 20.0), (3, 6, 20.0), (3, 5, 40.0)])
    events = by_frame(truth, found).events
    assert events.switches.tolist() == [[3, 1, 5, 6], [3, 2, 6, 5]]
    assert events.misses.tolist() == [[2, 2]]
