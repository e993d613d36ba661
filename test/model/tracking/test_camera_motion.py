"""A camera that turns: what its motion does to the memory, and what that saves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from qdtrack_model.boxes import box_centres
from qdtrack_model.structures import Array, Detections
from qdtrack_model.synthetic.camera import Camera, CameraMotion, homography, turning
from qdtrack_model.tracking import FairMotConfig, FairMotTracker, QuasiDenseConfig, QuasiDenseTracker, TaoTracker
from qdtrack_model.tracking.camera_motion import moved, moved_boxes, moved_velocities

from .scenes import RED, people

TRACKERS = [
    lambda: QuasiDenseTracker(QuasiDenseConfig(motion="gate")),
    lambda: FairMotTracker(FairMotConfig()),
    TaoTracker,
]


def looking(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Camera:
    """A camera 1.6 m above the street; angles in degrees."""
    angles = np.radians([yaw, pitch, roll])
    return Camera(np.array([0.0, 0.0, 1.6]), *angles.tolist(), focal=900.0, size=(1280, 720))


def turned(before: Camera, after: Camera) -> Array:
    """The homography between two views, of places that count from the outer corner of the first pixel."""
    half = np.array([[1.0, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1.0]])
    return half @ homography(before, after) @ np.linalg.inv(half)


def seen(camera: Camera, feet: Array, height: float = 1.7) -> Array:
    """Boxes (N, 4) around people (N, 2) on the ground."""
    feet = np.insert(feet, 2, 0.0, axis=1)
    low, _ = camera.project(feet)
    high, _ = camera.project(feet + np.array([0, 0, height]))
    half = (low[:, 1:] - high[:, 1:]) * 0.2
    return np.concatenate([high[:, :1] - half, high[:, 1:], high[:, :1] + half, low[:, 1:]], axis=1)


def test_places_and_boxes_move_as_the_camera_turns():
    before, after = looking(0), looking(4, 1, 0.5)
    feet = np.array([[-5.0, 20], [0, 12], [4, 30]])
    found, _ = moved_boxes(seen(before, feet), turned(before, after))
    np.testing.assert_allclose(box_centres(found), box_centres(seen(after, feet)), atol=2.0)
    np.testing.assert_allclose(found[:, 3] - found[:, 1], np.ptp(seen(after, feet)[:, 1::2], axis=1), rtol=0.05)


def test_velocities_turn_and_grow_as_the_picture_does():
    before, after = looking(0), looking(8, 0, 10)
    matrix, place, step = turned(before, after), np.array([[900.0, 300.0]]), np.array([[0.01, -0.02]])
    here, maps = moved(place, matrix)
    there, _ = moved(place + step, matrix)
    np.testing.assert_allclose(moved_velocities(step, maps), there - here, rtol=1e-3)


def test_a_roll_back_and_forth_leaves_a_box_as_it_was():
    box = np.array([[600.0, 200, 640, 320]])
    there, back = turned(looking(0), looking(0, 0, 5)), turned(looking(0, 0, 5), looking(0))
    for _ in range(50):
        box, _ = moved_boxes(moved_boxes(box, there)[0], back)
    np.testing.assert_allclose(box, [[600, 200, 640, 320]], atol=1e-6)


def test_what_turns_out_of_sight_stays_finite():
    box = np.array([[1200.0, 300, 1250, 400]], np.float32)
    for yaw in range(0, 3600, 20):
        box, _ = moved_boxes(box, turned(looking(yaw), looking(yaw + 20)))
        assert np.isfinite(box).all() and np.abs(box).max() < 1e6


@pytest.mark.parametrize("make", TRACKERS)
def test_a_lost_track_is_shown_where_the_camera_has_turned_to(make):
    tracker, views = make(), [looking(0), looking(0), looking(3)]
    feet = np.array([[0.0, 15]])
    for now, view in enumerate(views):
        found = Detections(seen(view, feet), [0.9], [0], [RED]) if now < 2 else Detections.empty()
        tracker.update(found, now, turned(views[now - 1], view) if now else None)
    lost = tracker.remembered()
    np.testing.assert_allclose(box_centres(lost.boxes), box_centres(seen(views[2], feet)), atol=2.0)


@pytest.mark.parametrize("make", TRACKERS)
@pytest.mark.parametrize("bad", [np.eye(2), np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_what_is_no_homography_is_refused_and_changes_nothing(make, bad):
    tracker = make()
    tracker.update(people((100, 200, RED)), 0)
    with pytest.raises(ValueError, match=r"camera_motion: got .*expected an invertible 3x3 matrix"):
        tracker.update(people((100, 200, RED)), 1, bad)
    assert tracker.update(people((100, 200, RED)), 1).ids.tolist() == [0]


@pytest.mark.parametrize("make", TRACKERS)
def test_a_camera_that_stands_changes_nothing(make):
    generator = np.random.default_rng(5)
    plain, told = make(), make()
    for now in range(20):
        boxes = generator.uniform(0, 500, (6, 2)).repeat(2, axis=0).reshape(6, 4) + np.array([0, 0, 30, 80])
        found = Detections(boxes, generator.uniform(0.3, 1, 6), np.zeros(6), generator.normal(size=(6, 8)))
        first, second = plain.update(found, now), told.update(found, now, np.eye(3))
        assert first.ids.tolist() == second.ids.tolist()
        np.testing.assert_allclose(first.boxes, second.boxes, atol=1e-3)


def on_a_vehicle(frames: int, rate: float) -> list[Camera]:
    """The views of a camera that turns and shakes as in the synthetic street."""
    still = CameraMotion(
        looking(0), np.zeros(3), np.zeros((6, 2)), np.ones((6, 2)), np.zeros((6, 2)),
        np.zeros((frames + 8, 3)), frames / rate, rate,
    )  # fmt: skip
    motion = turning(still, np.random.default_rng(1))
    return [motion.at(number / rate) for number in range(frames)]


def idf1(views: list[Camera], rate: float, told: bool) -> float:
    """Identity F1 [%] of forty people, many dressed alike, each unseen a quarter of the time, before these views."""
    generator = np.random.default_rng(2)
    count, hidden = 40, np.zeros(40, int)
    feet = np.stack([generator.uniform(-12, 12, count), generator.uniform(8, 40, count)], axis=1)
    walks = generator.normal(0, 1.0, (count, 2)) / rate
    looks = 2 * generator.normal(size=(4, 16))[generator.integers(0, 4, count)] + 0.3 * generator.normal(
        size=(count, 16)
    )
    street = QuasiDenseConfig(
        init_score=0.4, object_score=0.3, match_score=0.6, memory_span=2.0, backdrop_span=0.1, momentum=0.05,
        motion="gate", gate=1.5, gate_growth=2.0, gate_cosine=0.4, prior=16.0, velocity_momentum=0.15,
        velocity_decay=1.5, recover_iou=0.3, recover_score=0.2, recover_span=0.3,
    )  # fmt: skip
    tracker, pairs, total = QuasiDenseTracker(street), np.zeros((count, 4000)), np.zeros(2)
    for number, view in enumerate(views):
        feet = feet + walks
        hidden = np.where((hidden == 0) & (generator.random(count) < 0.04), 8, np.maximum(hidden - 1, 0))
        boxes = seen(view, feet)
        shown = np.flatnonzero((hidden == 0) & (boxes[:, 0] > 0) & (boxes[:, 2] < 1280) & (feet[:, 1] > 3))
        noisy = looks[shown] + 0.3 * generator.normal(size=(len(shown), 16))
        found = Detections(boxes[shown], np.linspace(0.9, 0.8, len(shown)), np.zeros(len(shown)), noisy)
        motion = turned(views[number - 1], view) if told and number else None
        tracks = tracker.update(found, number / rate, motion)
        rows = np.abs(found.boxes[:, None] - tracks.boxes).max(axis=2).argmin(axis=0)
        np.add.at(pairs, (shown[rows], tracks.ids), 1)
        total += len(shown), len(tracks)
    return float(200 * pairs[linear_sum_assignment(-pairs)].sum() / total.sum())


def test_compensation_keeps_the_ids_of_a_turning_camera():
    views = on_a_vehicle(frames=100, rate=10.0)
    without, compensated = idf1(views, 10.0, told=False), idf1(views, 10.0, told=True)
    assert compensated > without + 40
