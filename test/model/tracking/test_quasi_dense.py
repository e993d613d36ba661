"""The quasi-dense tracker on tiny scenes: whose id holds when."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdtrack_model.structures import Detections, TrackState
from qdtrack_model.tracking import FairMotTracker, QuasiDenseConfig, QuasiDenseTracker, TaoConfig, TaoTracker

from .scenes import BLUE, RED, crowd, ids_at, people, sequence_of_ids


def tracker_with(**options) -> QuasiDenseTracker:
    return QuasiDenseTracker(QuasiDenseConfig(**options))


def test_two_people_who_look_different_keep_their_ids_when_they_swap_places():
    frames = [people((100 + 50 * t, 200, RED), (300 - 50 * t, 320, BLUE)) for t in range(5)]
    found = ids_at(tracker_with(), frames)
    red = [found[t][100 + 50 * t] for t in (0, 1, 3, 4)]
    blue = [found[t][300 - 50 * t] for t in (0, 1, 3, 4)]
    assert set(red) == {0}
    assert set(blue) == {1}


@pytest.mark.parametrize(("hidden", "kept"), [(1, True), (4, True), (5, False), (9, False)])
@pytest.mark.parametrize("calls", ["empty frames", "no calls"])
def test_an_occluded_person_keeps_the_id_until_the_memory_span(hidden, kept, calls):
    tracker = tracker_with(memory_span=5)
    tracker.update(people((100, 200, RED)), 0)
    if calls == "empty frames":
        for now in range(1, hidden + 1):
            assert len(tracker.update(people(), now)) == 0
    assert (tracker.update(people((120, 200, RED)), hidden + 1).ids.tolist() == [0]) == kept


def test_empty_frames_age_the_memory():
    tracker = tracker_with(memory_span=3)
    tracker.update(people((100, 200, RED)), 0)
    unseen = []
    for now in (1, 2, 3):
        tracker.update(people(), now)
        unseen.append(tracker.remembered().unseen.tolist())
    assert unseen == [[1.0], [2.0], []]


def test_time_running_backwards_forgets_all_but_the_id_counter():
    tracker = tracker_with()
    tracker.update(people((100, 200, RED)), 50.0)
    assert tracker.update(people((100, 200, RED)), 3.0).ids.tolist() == [1]
    assert len(tracker.remembered()) == 0
    assert tracker.update(people((100, 200, RED)), 4.0).ids.tolist() == [1]


@pytest.mark.parametrize("kind", [(QuasiDenseTracker, QuasiDenseConfig), (TaoTracker, TaoConfig)])
def test_new_settings_hold_from_the_next_frame_on_for_what_is_remembered(kind):
    tracker_of, config_of = kind
    tracker = tracker_of(config_of(memory_span=3, init_score=0.5))
    tracker.update(people((100, 200, RED)), 0)
    tracker.configure(config_of(memory_span=30, init_score=1.0))
    tracker.update(people(), 10)
    assert tracker.update(people((100, 200, RED), (300, 200, BLUE)), 11).ids.tolist() == [0]


def test_reset_begins_anew():
    tracker = tracker_with()
    stream = crowd(seed=1, frames=20, count=12)
    first = sequence_of_ids(tracker, stream, range(20))
    tracker.reset()
    assert len(tracker.remembered()) == 0
    assert sequence_of_ids(tracker, stream, range(20)) == first


@pytest.mark.parametrize("motion", ["none", "gate"])
def test_seconds_since_1970_give_the_ids_that_frame_numbers_give(motion):
    options = {"memory_span": 6.0, "motion": motion, "recover_iou": 0.3 if motion == "gate" else 0.0}
    in_frames = QuasiDenseConfig(**options)
    rate = 30.0
    in_seconds = dataclasses.replace(
        in_frames,
        memory_span=in_frames.memory_span / rate,
        backdrop_span=in_frames.backdrop_span / rate,
        gate_growth=in_frames.gate_growth * rate,
        velocity_decay=in_frames.velocity_decay / rate,
        recover_span=in_frames.recover_span / rate,
    )
    stream = crowd(seed=2, frames=60, count=20)
    by_frame = sequence_of_ids(QuasiDenseTracker(in_frames), stream, range(60))
    by_second = sequence_of_ids(QuasiDenseTracker(in_seconds), stream, [1.7e9 + t / rate for t in range(60)])
    assert by_second == by_frame
    assert max(map(max, filter(None, by_frame))) > 20  # some were forgotten and came back


@pytest.mark.parametrize(("separate", "ids"), [(True, [1]), (False, [0])])
def test_class_separation(separate, ids):
    tracker = tracker_with(separate_classes=separate)
    tracker.update(people((100, 200, RED, 0.9, 0)), 0)
    assert tracker.update(people((100, 200, RED, 0.9, 1)), 1).ids.tolist() == ids


@pytest.mark.parametrize("metric", ["bisoftmax", "softmax", "cosine"])
@pytest.mark.parametrize("motion", ["none", "gate"])
def test_class_separation_holds_for_every_metric(metric, motion):
    tracker = tracker_with(metric=metric, motion=motion)
    tracker.update(people((100, 200, RED, 0.9, 0), (300, 200, BLUE, 0.9, 1)), 0)
    tracks = tracker.update(people((100, 200, RED, 0.9, 1), (300, 200, BLUE, 0.9, 1)), 1)
    assert sorted(tracks.ids.tolist()) == [1, 2]


@pytest.mark.parametrize(("span", "ids"), [(1, []), (0, [0])])
def test_a_backdrop_keeps_a_stranger_from_taking_an_id(span, ids):
    stranger = (1.5, 2.5)
    tracker = tracker_with(backdrop_span=span)
    tracker.update(people((100, 200, RED)), 0)
    assert tracker.update(people((100, 200, RED), (400, 200, stranger, 0.6)), 1).ids.tolist() == [0]
    assert tracker.update(people((400, 200, stranger, 0.6)), 2).ids.tolist() == ids


@pytest.mark.parametrize(("score", "ids"), [(0.6, [0]), (0.4, [])])
def test_only_detections_above_the_object_score_continue_a_track(score, ids):
    tracker = tracker_with()
    tracker.update(people((100, 200, RED)), 0)
    assert tracker.update(people((100, 200, RED, score)), 1).ids.tolist() == ids


def test_duplicates_of_a_better_box_are_dropped():
    tracks = tracker_with().update(people((100, 200, RED, 0.9), (103, 200, BLUE, 0.85, 1), (300, 200, BLUE, 0.82)), 0)
    assert tracks.boxes[:, 0].tolist() == [80, 280]


def test_tracks_tell_state_age_and_velocity():
    tracker = tracker_with(velocity_momentum=0.5)
    first = tracker.update(people((100, 200, RED), (300, 200, BLUE)), 10.0)
    second = tracker.update(people((104, 198, RED)), 10.5)
    third = tracker.update(people((110, 198, RED)), 11.0)
    lost = tracker.remembered()
    assert first.states.tolist() == [TrackState.TENTATIVE] * 2
    assert second.states.tolist() == third.states.tolist() == [TrackState.ACTIVE]
    assert lost.states.tolist() == [TrackState.LOST]
    assert lost.ids.tolist() == [1]
    assert lost.unseen.tolist() == lost.ages.tolist() == [1.0]
    assert third.ages.tolist() == [1.0]
    assert third.unseen.tolist() == [0.0]
    np.testing.assert_allclose(second.velocities, [[8, -4]])
    np.testing.assert_allclose(third.velocities, [[10, -2]])  # half of (8, -4) and half of (12, 0)


def test_the_remembered_embedding_follows_the_new_one():
    tracker = tracker_with(momentum=0.75)
    tracker.update(people((100, 200, RED)), 0)
    np.testing.assert_allclose(tracker.update(people((100, 200, (2.0, 2.0))), 1).embeddings, [[2.5, 1.5]])


def test_what_was_reported_does_not_change_later():
    tracker = tracker_with()
    first = tracker.update(people((100, 200, RED)), 0)
    tracker.update(people((140, 200, (3.0, 1.0))), 1)
    assert first.boxes.tolist() == [[80, 150, 120, 250]]
    assert first.embeddings.tolist() == [[4.0, 0.0]]


def test_more_tracks_than_the_first_allocation_holds():
    spread = [people(*((100 * n, 200, tuple(6.0 * (np.arange(150) == n))) for n in range(150))) for _ in range(3)]
    tracker = tracker_with()
    assert [sorted(ids) for ids in sequence_of_ids(tracker, spread, range(3))] == [list(range(150))] * 3


@pytest.mark.parametrize("make", [QuasiDenseTracker, TaoTracker])
@pytest.mark.parametrize(
    ("frame", "time", "text"),
    [
        (people((1, 1, RED)), float("nan"), "time: got nan"),
        (people((1, 1, RED)), float("inf"), "time: got inf"),
        (people((1, 1, RED)), 5.0, "got 5.0 a second time"),
        (people((1, 1, (1.0, 2.0, 3.0))), 6.0, "got 3 dimensions, but the remembered tracks have 2"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(make, frame, time, text):
    tracker = make()
    tracker.update(people((100, 200, RED)), 5.0)
    with pytest.raises(ValueError, match=text):
        tracker.update(frame, time)
    assert tracker.update(people((100, 200, RED)), 6.0).ids.tolist() == [0]


@pytest.mark.parametrize("make", [QuasiDenseTracker, TaoTracker])
def test_another_embedding_size_is_fine_once_nothing_is_remembered(make):
    tracker = make()
    tracker.update(people((100, 200, RED), (300, 200, BLUE, 0.6)), 0)
    ids = tracker.update(people((100, 200, (1.0, 2.0, 3.0))), 1000).ids.tolist()
    assert len(ids) == 1
    assert ids != [0]


@pytest.mark.parametrize("make", [QuasiDenseTracker, TaoTracker])
@pytest.mark.parametrize("size", [0, 64])
def test_frames_without_detections_may_have_embeddings_of_any_size(make, size):
    tracker = make()
    assert len(tracker.remembered()) == 0
    assert len(tracker.update(Detections.empty(size), 0.0)) == 0
    assert tracker.update(people((100, 200, RED), (300, 200, BLUE, 0.6)), 1.0).ids[0] == 0
    assert len(tracker.update(Detections.empty(size), 1.1)) == 0
    assert tracker.update(people((100, 200, RED)), 1.2).ids.tolist() == [0]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 25),
    config=st.builds(
        QuasiDenseConfig,
        metric=st.sampled_from(["bisoftmax", "softmax", "cosine"]),
        motion=st.sampled_from(["none", "gate"]),
        recover_iou=st.sampled_from([0.0, 0.2]),
        memory_span=st.integers(1, 8).map(float),
        separate_classes=st.booleans(),
        match_score=st.sampled_from([0.0, 0.3, 0.5]),
    ),
)
def test_ids_are_unique_and_every_box_is_a_detection(seed, count, config):
    tracker = QuasiDenseTracker(config)
    born: set[int] = set()
    for now, frame in enumerate(crowd(seed, frames=12, count=count)):
        before = {*tracker.remembered().ids.tolist()} | born
        tracks, lost = tracker.update(frame, now), tracker.remembered()
        everybody = tracks.ids.tolist() + lost.ids.tolist()
        assert len(everybody) == len(set(everybody))
        assert {tuple(box) for box in tracks.boxes.tolist()} <= {tuple(box) for box in frame.boxes.tolist()}
        assert (lost.unseen < config.memory_span).all()
        new = set(tracks.ids.tolist()) - before
        assert new == set(range(len(born), len(born) + len(new)))  # ids count up without gaps
        born |= new


@pytest.mark.parametrize("kind", [QuasiDenseTracker, TaoTracker, FairMotTracker])
def test_a_reset_may_go_on_counting(kind):
    tracker = kind()
    person = Detections([[10, 20, 50, 120]], [0.9], [0], [[1.0, 0.0]])
    for first in (0, tracker.next_id, 41):
        tracker.reset(first)
        assert [int(tracker.update(person, time).ids[0]) for time in (0, 1)] == [first, first]
        assert tracker.next_id == first + 1
