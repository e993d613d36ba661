"""The overlay shows every visible track, in its own colour, and leaves the image it was given alone."""

from __future__ import annotations

import numpy as np
import pytest

from qdtrack_model.drawing.overlay import Trails, captions, colour_of, draw
from qdtrack_model.structures import Tracks, TrackState


def tracks_at(boxes: list[list[float]], states: list[int] | None = None, ids: list[int] | None = None) -> Tracks:
    n = len(boxes)
    zero = np.zeros(n)
    return Tracks(
        ids if ids is not None else np.arange(n), boxes, zero, zero, np.zeros((n, 0)), np.zeros((n, 2)), zero, zero,
        states if states is not None else np.full(n, TrackState.ACTIVE),
    )  # fmt: skip


def draw_on(image: np.ndarray, tracks: Tracks, trails: Trails) -> np.ndarray:
    trails.extend(tracks)
    return draw(image, tracks, ("pedestrian",), trails)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def test_box_is_drawn_in_the_colour_of_its_id_on_a_copy() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    drawn = draw(image, tracks_at([[100, 60, 160, 180]], ids=[5]), ("pedestrian",))
    assert (image == 90).all()
    assert drawn.shape == image.shape
    np.testing.assert_allclose(drawn[120, [100, 160]], [colour_of(5)] * 2, atol=20)  # lines are smoothed
    assert (drawn[100:170, 110:150] == 90).all(), "the object itself stays visible"


def test_lost_tracks_and_no_tracks_leave_the_image_as_it_is() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    lost = tracks_at([[100, 60, 160, 180]], states=[TrackState.LOST])
    for tracks in (lost, Tracks.empty()):
        np.testing.assert_array_equal(draw_on(image, tracks, Trails()), image)


@pytest.mark.parametrize("box", [[-50, -50, 20, 20], [280, 190, 400, 400], [0, 0, 300, 200], [5, 5, 5, 5]])
def test_boxes_at_the_border(box: list[float]) -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    assert changed(image, draw(image, tracks_at([box]), ("pedestrian",))).any()


def test_tiny_image() -> None:
    image = np.full((4, 6, 3), 90, np.uint8)
    assert draw(image, tracks_at([[0, 0, 6, 4]]), ("pedestrian", "vehicle"), Trails()).shape == (4, 6, 3)


def test_grey_image_comes_back_in_colour() -> None:
    drawn = draw(np.full((100, 120), 90, np.uint8), tracks_at([[20, 40, 60, 80]]), ("pedestrian",))
    assert drawn.shape == (100, 120, 3)


def test_class_names_are_written_where_there_are_several_and_room() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    labels = {}
    for width in (20, 150):
        tracks = tracks_at([[100, 60, 100 + width, 180]])
        for classes in (("pedestrian",), ("pedestrian", "vehicle")):
            labels[width, len(classes)] = changed(image, draw(image, tracks, classes))[:58].sum()
    assert labels[150, 2] > 2 * labels[150, 1]
    assert labels[20, 2] == labels[20, 1]


def test_captions_of_narrow_boxes_are_ids_alone() -> None:
    tracks = tracks_at([[100, 60, 121, 180], [100, 60, 100 + 13 * 8, 180]], ids=[4, 12])
    assert captions(tracks, ("pedestrian", "vehicle"), letter=8.0) == ["4", "pedestrian 12"]
    assert captions(tracks, ("pedestrian",), letter=8.0) == ["4", "12"]


def test_neighbouring_ids_differ_in_colour() -> None:
    colours = np.array([colour_of(i) for i in range(200)], int)
    for step in (1, 2):
        assert np.abs(colours[step:] - colours[:-step]).sum(axis=1).min() > 60
    assert colour_of(17) == colour_of(17)


def test_trail_follows_and_fades() -> None:
    image = np.zeros((240, 400, 3), np.uint8)
    trails = Trails(length=24)
    for step in range(24):
        drawn = draw_on(image, tracks_at([[20 + 10 * step, 40, 40 + 10 * step, 100]]), trails)
    row = drawn[100, :, :].max(axis=1)
    oldest, middle, newest = row[40], row[130], row[225]
    assert 0 < oldest < middle < newest


def test_trail_of_a_track_that_is_gone_goes_too() -> None:
    image = np.zeros((240, 400, 3), np.uint8)
    trails = Trails()
    for step in range(10):
        draw_on(image, tracks_at([[20 + 10 * step, 40, 40 + 10 * step, 100]]), trails)
    assert draw_on(image, Tracks.empty(), trails).any()
    for _ in range(30):
        drawn = draw_on(image, Tracks.empty(), trails)
    assert not drawn.any()


def test_cleared_trails_are_gone() -> None:
    image = np.zeros((240, 400, 3), np.uint8)
    trails = Trails()
    for step in range(10):
        draw_on(image, tracks_at([[20 + 10 * step, 40, 40 + 10 * step, 100]]), trails)
    trails.clear()
    assert not draw_on(image, Tracks.empty(), trails).any()


def test_paths_are_the_last_places_where_a_track_stood() -> None:
    trails = Trails(length=3)
    for step in range(5):
        trails.extend(tracks_at([[step, 0, step + 1, 7.25]], ids=[12]))
    trails.extend(tracks_at([[0, 0, 2, 2]], ids=[13]))
    np.testing.assert_allclose(trails.paths[12], [[2.5, 7.25], [3.5, 7.25], [4.5, 7.25]])
    assert list(trails.paths) == [12], "one place is no path yet"
