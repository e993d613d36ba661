"""Places and velocities in the world: what the filter makes of places that are not exact."""

from __future__ import annotations

import numpy as np

from qdtrack_model.tracking.places import PlaceFilter

RATE = 20.0
EXACT = np.eye(3) * 0.05**2
COARSE = np.diag([0.04, 0.04, 1.0])  # along z, as of a distance


def walk(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and the places of three who go straight, and one who goes in a circle."""
    times = np.arange(round(seconds * RATE)) / RATE
    straight = np.array([[0, 0, 5.0], [3, -1, 10.0], [-2, 0, 20]]) + times[:, None, None] * np.array(
        [[1.2, 0, 0], [0, 0, -8.0], [0, 0, 0]]
    )
    around = np.stack([4 * np.cos(0.4 * times), np.zeros_like(times), 12 + 4 * np.sin(0.4 * times)], axis=-1)
    return times, np.concatenate([straight, around[:, None]], axis=1)


def test_places_and_velocities_come_near_to_the_truth() -> None:
    generator = np.random.default_rng(0)
    times, truth = walk(10.0)
    ids, errors, raw, speeds, normed = np.array([7, 3, 11, 5]), [], [], [], []
    tracker = PlaceFilter()
    for now, places in zip(times, truth, strict=True):
        seen = places + generator.multivariate_normal(np.zeros(3), COARSE, len(ids))
        means, covariances = tracker.update(ids, seen, np.tile(COARSE, (4, 1, 1)), 1e9 + now)
        if now > 3:
            errors.append(means[:, :3] - places)
            raw.append(seen - places)
            velocity = (truth[round(now * RATE) + 1] - places) * RATE if now < times[-1] else means[:, 3:]
            speeds.append(means[:, 3:] - velocity)
            normed.append(np.einsum("ni,nij,nj->n", errors[-1], np.linalg.inv(covariances[:, :3, :3]), errors[-1]))
    assert np.square(errors).mean() < np.square(raw).mean() / 4
    assert np.sqrt(np.square(speeds).mean()) < 0.6
    assert 0.1 < np.mean(normed) < 3.5  # three on average where the covariances are right; they allow for more


def test_each_id_has_its_own_state_whatever_the_order() -> None:
    times, truth = walk(2.0)
    ids, tracker = np.array([7, 3, 11, 5]), PlaceFilter()
    for number, (now, places) in enumerate(zip(times, truth, strict=True)):
        rows = np.random.default_rng(number).permutation(4)[: 4 - number % 2]
        means, _ = tracker.update(ids[rows], places[rows], np.tile(EXACT, (len(rows), 1, 1)), now)
        np.testing.assert_allclose(means[:, :3], places[rows], atol=0.3)


def test_a_wrong_place_is_left_out_and_a_new_one_believed_in_time() -> None:
    tracker, ids, noise = PlaceFilter(), np.array([1]), EXACT[None]
    for step in range(20):
        means, _ = tracker.update(ids, np.array([[0, 0, 8.0]]), noise, step / RATE)
    for step in range(20, 24):  # somebody passes in front
        means, _ = tracker.update(ids, np.array([[0, 0, 4.0]]), noise, step / RATE)
        assert abs(means[0, 2] - 8) < 0.5
    for step in range(24, 36):
        means, _ = tracker.update(ids, np.array([[0, 0, 4.0]]), noise, step / RATE)
    assert abs(means[0, 2] - 4) < 0.1


def test_it_grows_less_sure_of_what_it_does_not_see_and_forgets_it() -> None:
    tracker, place = PlaceFilter(), np.array([[0, 0, 8.0]])
    for step in range(20):
        _, before = tracker.update(np.array([1]), place, EXACT[None], step / RATE)
    tracker.update(np.array([2]), place, EXACT[None], 3.0)
    _, after = tracker.update(np.array([1]), place + 1, EXACT[None] * 1e6, 3.0 + 1 / RATE)
    assert np.trace(after[0]) > 3 * np.trace(before[0])
    tracker.update(np.array([2]), place, EXACT[None], 9.0)
    means, _ = tracker.update(np.array([1]), place - 50, EXACT[None], 9.1)
    np.testing.assert_allclose(means[0, 3:], 0)  # as new


def test_time_that_runs_back_begins_anew() -> None:
    tracker, place = PlaceFilter(), np.array([[0, 0, 8.0]])
    for step in range(5):
        tracker.update(np.array([1]), place + step, EXACT[None], step / RATE)
    means, covariances = tracker.update(np.array([1]), place, EXACT[None], 0.0)
    np.testing.assert_allclose(means[0], [0, 0, 8, 0, 0, 0])
    np.testing.assert_allclose(covariances[0, :3, :3], EXACT)
    assert tracker.update(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3, 3)), 1.0)[0].shape == (0, 6)
