"""FairMOT's tracker on tiny scenes, and the parts it is made of."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdtrack_model.structures import Detections, TrackState
from qdtrack_model.tracking import FairMotConfig, FairMotTracker, kalman
from qdtrack_model.tracking.assignment import assign

from .scenes import BLUE, RED, crowd, ids_at, people, sequence_of_ids


def tracker_with(**options) -> FairMotTracker:
    return FairMotTracker(FairMotConfig(**options))


def test_two_people_who_look_different_keep_their_ids_when_they_swap_places():
    found = ids_at(tracker_with(), [people((200 + 4 * t, 200, RED), (240 - 4 * t, 200, BLUE)) for t in range(11)])
    assert list(found[0].values()) == [0, 1]
    assert found[-1] == {240: 0, 200: 1}


def test_a_jump_beyond_the_gate_is_somebody_else_however_alike():
    tracker = tracker_with()
    for now in range(5):
        tracker.update(people((100, 200, RED)), now)
    tracker.update(people((400, 200, RED)), 5)
    assert tracker.update(people((400, 200, RED)), 6).ids.tolist() == [1]


@pytest.mark.parametrize(("first", "ids"), [(True, [[0], [0, 1]]), (False, [[], [0]])])
def test_who_is_reported_when(first, ids):
    tracker = tracker_with(first_frame_confirmed=first)
    a, b = (100, 200, RED), (300, 200, BLUE)
    found = [tracker.update(people(*rows), now) for now, rows in enumerate([(a,), (a, b), (a, b)])]
    assert found[0].ids.tolist() == ids[0]
    assert [t.ids.tolist() for t in found[1:]] == [[0], [0, 1]]
    assert found[2].states.tolist() == [TrackState.ACTIVE] * 2


def test_who_is_seen_once_and_not_again_is_forgotten_and_uses_up_an_id():
    tracker = tracker_with(first_frame_confirmed=False)
    tracker.update(people((100, 200, RED)), 0)
    tracker.update(people(), 1)
    assert len(tracker.remembered()) == 0
    tracker.update(people((100, 200, RED)), 2)
    assert tracker.update(people((100, 200, RED)), 3).ids.tolist() == [1]


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("calls", ["empty frames", "no calls"])
@pytest.mark.parametrize("gap", range(2, 9))
def test_the_span_ends_on_time_and_two_frames_later_as_published(published, calls, gap):
    tracker = tracker_with(memory_span=4, as_published=published)
    tracker.update(people((100, 200, RED)), 0)
    tracker.update(people((100, 200, RED)), 1)
    if calls == "empty frames":
        for now in range(2, 1 + gap):
            tracker.update(people(), now)
    kept = len(tracker.update(people((100, 200, RED)), 1 + gap))
    if calls == "no calls" and published:
        assert kept  # it clears away in steps, as many as there are calls
    else:
        assert kept == (gap <= (6 if published else 4))


def test_empty_frames_age_the_memory():
    tracker = tracker_with(memory_span=3)
    tracker.update(people((100, 200, RED)), 0)
    unseen = []
    for now in (1, 2, 3):
        assert len(tracker.update(Detections.empty(), now)) == 0
        unseen.append(tracker.remembered().unseen.tolist())
    assert unseen == [[1.0], [2.0], []]


def test_a_lost_track_is_remembered_where_it_should_be_by_now():
    tracker = tracker_with(frame_rate=10.0, memory_span=2.0)
    for now in range(20):
        tracker.update(people((100 + 5 * now, 200, RED)), now / 10)
    tracker.update(people(), 2.1)
    lost = tracker.remembered()
    assert lost.states.tolist() == [TrackState.LOST]
    assert lost.velocities[0] == pytest.approx([50, 0], abs=5)  # pixels a second
    assert lost.boxes[0, [0, 2]].mean() == pytest.approx(100 + 5 * 21, abs=4)
    assert lost.unseen[0] == pytest.approx(0.2)
    assert lost.ages[0] == pytest.approx(2.1)


@pytest.mark.parametrize(("stays", "seen", "lost"), [(0, [0], []), (1, [], [0])])
def test_of_a_lost_track_and_another_in_its_place_the_older_one_stays(stays, seen, lost):
    both = [(100, 200, RED), (102, 200, BLUE)]
    tracker = tracker_with()
    tracker.update(people(both[0]), 0)
    for now in (1, 2):
        assert len(tracker.update(people(*both), now)) == now
    assert tracker.update(people(both[stays]), 3).ids.tolist() == seen
    assert tracker.remembered().ids.tolist() == lost


def test_classes_never_mix():
    tracker = tracker_with()
    tracker.update(people((100, 200, RED, 0.9, 0)), 0)
    tracker.update(people((100, 200, RED, 0.9, 1)), 1)
    tracks = tracker.update(people((100, 200, RED, 0.9, 1)), 2)
    assert (tracks.ids.tolist(), tracks.labels.tolist()) == ([1], [1])
    assert tracker.remembered().ids.tolist() == [0]


def test_weak_detections_and_boxes_without_an_area_are_left_out():
    nothing = Detections([[10, 10, 10, 50], [30, 30, 20, 60]], [0.9, 0.9], [0, 0], [RED, BLUE])
    tracker = tracker_with()
    assert len(tracker.update(people((100, 200, RED, 0.4)), 0)) == 0
    assert len(tracker.update(nothing, 1)) == 0
    assert len(tracker._known) == 0


def test_without_embeddings_overlap_alone_decides():
    tracker = tracker_with()
    frames = [Detections([[10 + 3 * t, 20, 50 + 3 * t, 120]], [0.9], [0], np.zeros((1, 0))) for t in range(5)]
    assert [tracker.update(frame, t).ids.tolist() for t, frame in enumerate(frames)] == [[0]] * 5


def test_reset_begins_anew_and_time_that_runs_backwards_keeps_the_id_counter():
    tracker, stream = tracker_with(), crowd(seed=1, frames=20, count=12)
    first = sequence_of_ids(tracker, stream, range(20))
    tracker.reset()
    assert len(tracker.remembered()) == 0
    assert sequence_of_ids(tracker, stream, range(20)) == first
    again = sequence_of_ids(tracker, stream, range(20))
    assert min(map(min, filter(None, again))) > max(map(max, filter(None, first)))


def test_seconds_give_the_ids_that_frame_numbers_give():
    stream, rate = crowd(seed=2, frames=60, count=20), 30.0
    by_frame = sequence_of_ids(tracker_with(memory_span=6), stream, range(60))
    in_seconds = FairMotConfig(memory_span=6).in_seconds(rate)
    for config in (in_seconds, dataclasses.replace(in_seconds, frame_rate=None)):
        tracker = FairMotTracker(config)
        assert sequence_of_ids(tracker, stream, [1.7e9 + t / rate for t in range(60)]) == by_frame


def test_bad_frames_are_refused_and_leave_the_tracker_as_it_was():
    tracker = tracker_with()
    tracker.update(people((100, 200, RED)), 1.0)
    wide = Detections([[0, 0, 10, 10]], [0.9], [0], np.ones((1, 5)))
    for frame, time, message in [
        (people((100, 200, RED)), 1.0, "a second time"),
        (people((100, 200, RED)), float("nan"), "expected a finite number"),
        (wide, 2.0, "got 5 dimensions, but the remembered tracks have 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            tracker.update(frame, time)
    assert tracker.update(people((100, 200, RED)), 2.0).ids.tolist() == [0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_seen_ids_are_unique_and_boxes_finite(data):
    number = st.floats(-1e6, 1e6, width=32)
    tracker = tracker_with(min_score=0.0, memory_span=3.0)
    for now in range(data.draw(st.integers(1, 6))):
        count = data.draw(st.integers(0, 5))
        boxes = data.draw(st.lists(st.tuples(number, number, number, number), min_size=count, max_size=count))
        found = Detections(np.array(boxes).reshape(-1, 4), np.full(count, 0.9), np.zeros(count), np.ones((count, 2)))
        tracks = tracker.update(found, float(now))
        assert len(set(tracks.ids.tolist())) == len(tracks)
        assert np.isfinite(tracks.boxes).all()


def test_assignment_is_the_best_of_all_partial_ones():
    generator = np.random.default_rng(0)
    for rows, columns in [(0, 3), (3, 0), (1, 1), (3, 4), (4, 3), (4, 4)]:
        costs, limit = generator.uniform(0, 1, (rows, columns)), 0.5
        costs[generator.random((rows, columns)) < 0.2] = np.inf
        chosen = assign(costs, limit)
        assert (costs[chosen] < limit).all()
        best = max(
            sum(limit - costs[r, c] for r, c in zip(kept, order, strict=True))
            for size in range(min(rows, columns) + 1)
            for kept in itertools.combinations(range(rows), size)
            for order in itertools.permutations(range(columns), size)
            if all(costs[r, c] < limit for r, c in zip(kept, order, strict=True))
        )
        assert (limit - costs[chosen]).sum() == pytest.approx(best)


def test_an_expensive_pair_never_costs_a_cheap_one():
    costs = np.array([[0.1, 0.2], [0.3, 9.0]])  # a cheapest complete assignment would take .2 and .3
    assert [x.tolist() for x in assign(costs, 0.25)] == [[0], [0]]


def test_a_filter_moves_on_in_one_step_as_in_its_parts():
    means, covariances = kalman.start(kalman.measurements(np.array([[10.0, 20.0, 50.0, 120.0]])))
    means[0, 4:6] = 3, -2
    far, wide = kalman.predict(means, covariances, 2.0)
    near, narrow = kalman.predict(means, covariances, 0.5)
    np.testing.assert_allclose(kalman.boxes_of(far)[0], [16, 16, 56, 116])
    np.testing.assert_allclose(kalman.boxes_of(near)[0], [11.5, 19, 51.5, 119])
    assert (np.diagonal(wide[0]) > np.diagonal(narrow[0])).all()


def test_a_measurement_pulls_the_state_and_narrows_it():
    means, covariances = kalman.predict(*kalman.start(np.array([[100.0, 50.0, 0.5, 80.0]])), 1.0)
    measured = np.array([[104.0, 50.0, 0.5, 80.0]])
    distance = kalman.squared_distances(means, covariances, measured)[0, 0]
    after, narrower = kalman.correct(means, covariances, measured)
    assert 100 < after[0, 0] < 104
    assert kalman.squared_distances(after, covariances, measured)[0, 0] < distance
    assert (np.diagonal(narrower[0]) <= np.diagonal(covariances[0])).all()
