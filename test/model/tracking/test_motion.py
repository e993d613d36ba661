"""The spatial prior: what it saves in a crowd of look-alikes, and its parts."""

from __future__ import annotations

import numpy as np
import pytest

from qdtrack_model.structures import Detections
from qdtrack_model.tracking import QuasiDenseConfig, QuasiDenseTracker
from qdtrack_model.tracking.motion import predict_boxes, recover_by_overlap, squared_distances

from .scenes import BLUE, RED, ids_at, people


def tracker_with(**options) -> QuasiDenseTracker:
    return QuasiDenseTracker(QuasiDenseConfig(**options))


def crossing() -> list[Detections]:
    """Two people in one uniform who pass each other, 30 pixels apart in y."""
    return [people((100 + 20 * t, 200, RED, 0.95), (305 - 20 * t, 230, RED, 0.9)) for t in range(11)]


def ids_of_the_crossing(tracker) -> tuple[set[int], set[int]]:
    found = ids_at(tracker, crossing())
    return {at[100 + 20 * t] for t, at in enumerate(found)}, {at[305 - 20 * t] for t, at in enumerate(found)}


def test_crossing_look_alikes_keep_their_ids_with_the_gate():
    assert ids_of_the_crossing(tracker_with(motion="gate", prior=2.0)) == ({0}, {1})


def test_crossing_look_alikes_fragment_without_it():
    one, other = ids_of_the_crossing(tracker_with())
    assert len(one | other) > 2 or one & other


@pytest.mark.parametrize(("motion", "ids"), [("none", [0]), ("gate", [1])])
def test_who_left_is_not_resurrected_by_a_stranger_far_away(motion, ids):
    tracker = tracker_with(motion=motion)
    for now in range(3):
        tracker.update(people((100, 200, RED)), now)
    tracker.update(people(), 3)
    assert tracker.update(people((700, 200, RED)), 4).ids.tolist() == ids


@pytest.mark.parametrize("hidden", [1, 3, 6])
def test_a_walking_person_behind_a_pillar_keeps_the_id(hidden):
    tracker = tracker_with(motion="gate", velocity_decay=50.0)
    walk = [people((100 + 25 * t, 200, RED)) if not 5 <= t < 5 + hidden else people() for t in range(6 + hidden)]
    assert ids_at(tracker, walk)[-1] == {100 + 25 * (5 + hidden): 0}


def test_the_gate_widens_with_the_time_unseen():
    def after(gap: int) -> list[int]:
        tracker = tracker_with(motion="gate", gate=1.0, gate_growth=0.5)
        tracker.update(people((100, 200, RED)), 0)
        return tracker.update(people((250, 200, RED)), gap).ids.tolist()  # 2.4 box sizes

    assert after(1) == [1]
    assert after(4) == [0]


@pytest.mark.parametrize(("least", "ids"), [(0.3, [1]), (0.0, [0])])
def test_the_only_plausible_pair_must_also_look_alike(least, ids):
    tracker = tracker_with(motion="gate", gate_cosine=least)
    tracker.update(people((100, 200, RED)), 0)
    assert tracker.update(people((105, 200, BLUE)), 1).ids.tolist() == ids


def test_without_embeddings_the_gate_follows_places():
    tracker = tracker_with(motion="gate", prior=4.0)
    frames = [people((100 + 5 * t, 200, ()), (300 - 5 * t, 200, ())) for t in range(5)]
    found = ids_at(tracker, frames)
    assert [at[100 + 5 * t] for t, at in enumerate(found)] == [0] * 5
    assert [at[300 - 5 * t] for t, at in enumerate(found)] == [1] * 5


@pytest.mark.parametrize(
    ("recover", "score", "ids"), [(0.3, 0.3, [0]), (0.0, 0.3, []), (0.3, 0.05, []), (0.9, 0.3, [])]
)
def test_a_weak_half_hidden_box_continues_the_track_it_overlaps(recover, score, ids):
    tracker = tracker_with(recover_iou=recover, recover_score=0.1)
    tracker.update(people((100, 200, RED), (400, 200, BLUE)), 0)
    tracks = tracker.update(people((108, 200, (1.0, 1.1), score)), 1)
    assert tracks.ids.tolist() == ids
    if ids:
        assert tracks.embeddings.tolist() == [list(RED)]  # half of somebody else is in such a box


def test_recovery_keeps_to_tracks_seen_just_now_and_to_the_class():
    for now, label in ((3, 0), (1, 1)):
        tracker = tracker_with(recover_iou=0.3, recover_span=1.0)
        tracker.update(people((100, 200, RED)), 0)
        assert len(tracker.update(people((100, 200, BLUE, 0.3, label)), now)) == 0


def test_prediction_coasts_to_a_halt():
    box = np.array([[0, 0, 10, 20]], np.float32)
    velocity = np.array([[3, -1]], np.float32)
    near = predict_boxes(box, velocity, np.array([0.01]), decay=10.0)
    far = predict_boxes(box, velocity, np.array([1e4]), decay=10.0)
    np.testing.assert_allclose(near, box + np.array([0.03, -0.01, 0.03, -0.01]), atol=1e-4)
    np.testing.assert_allclose(far, box + np.array([30, -10, 30, -10]), rtol=1e-5)


def test_distances_are_relative_to_the_box():
    box = np.array([[0, 0, 40, 90]], np.float32)
    aside = box + np.float32([60, 0, 60, 0])  # the root of the area is 60
    tall = np.array([[0, -45, 40, 135]], np.float32)
    others = np.concatenate([box, aside, tall])
    for zoom in (np.float32(1), np.float32(3)):
        distances = squared_distances(zoom * others, zoom * box, np.ones(1))
        np.testing.assert_allclose(distances[:, 0], [0, 1, np.log(2) ** 2], atol=1e-6)
    np.testing.assert_allclose(squared_distances(aside, box, np.array([2.0])), [[0.25]])


def test_recovery_uses_each_once_and_the_largest_overlap_first():
    tracks = np.array([[0, 0, 10, 10], [6, 0, 16, 10]], np.float32)
    boxes = np.array([[4, 0, 14, 10], [1, 0, 11, 10], [100, 0, 110, 10]], np.float32)
    everything = np.ones((3, 2), bool)
    assert sorted(recover_by_overlap(boxes, tracks, everything, 0.2)) == [(0, 1), (1, 0)]
    assert recover_by_overlap(boxes, tracks, ~everything, 0.2) == []
