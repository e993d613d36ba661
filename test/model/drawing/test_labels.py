"""What is labelled in a training image, as people see it."""

from __future__ import annotations

import numpy as np

from qdtrack_model.drawing.labels import ENLARGED, GREY, draw_labels
from qdtrack_model.drawing.overlay import colour_of

CLASSES = ("pedestrian", "vehicle")
IMAGE = np.full((120, 160, 3), 60, np.uint8)


def shown(
    boxes: list[list[float]], labels: list[int], open_boxes: list[list[float]], open_labels: list[int]
) -> set[str]:
    """Which colours are to be seen, by region: left or right half of the picture, above the legend."""
    count = len(boxes)
    picture = draw_labels(
        IMAGE, np.array(boxes, float).reshape(-1, 4), np.arange(count), np.array(labels, int),
        np.array(open_boxes, float).reshape(-1, 4), np.array(open_labels, int), CLASSES,
    )  # fmt: skip
    assert picture.shape == (120 * ENLARGED, 160 * ENLARGED, 3)
    names = {colour_of(0): "pedestrian", colour_of(1): "vehicle", GREY: "ignored"}
    upper = picture[: 70 * ENLARGED]
    halves = {"left": upper[:, : 80 * ENLARGED], "right": upper[:, 80 * ENLARGED :]}
    return {
        f"{name} {side}"
        for side, half in halves.items()
        for colour, name in names.items()
        if (half == colour).all(2).any()
    }


def test_boxes_have_the_colour_of_their_class() -> None:
    assert shown([], [], [], []) == set()
    boxes = [[10.0, 10, 40, 60], [100, 10, 140, 60]]
    assert shown(boxes, [0, 1], [], []) == {"pedestrian left", "vehicle right"}
    assert shown(boxes, [1, -1], [], []) == {"vehicle left", "ignored right"}


def test_what_is_not_labelled_has_stripes_but_for_known_objects() -> None:
    left, right = [0.0, 0, 80, 120], [80.0, 0, 160, 120]
    assert shown([], [], [left], [0]) == {"pedestrian left"}
    assert shown([], [], [left, right], [0, 1]) == {"pedestrian left", "vehicle right"}
    whole = [0.0, 0, 160, 120]
    assert shown([], [], [whole, whole], [0, 1]) == {f"{c} {s}" for c in CLASSES for s in ("left", "right")}
    picture = draw_labels(
        IMAGE,
        np.array([[20.0, 20, 60, 60]]),
        np.zeros(1, int),
        np.zeros(1, int),
        np.array([left]),
        np.zeros(1, int),
        CLASSES,
    )
    inside = picture[24 * ENLARGED : 56 * ENLARGED, 24 * ENLARGED : 56 * ENLARGED]
    assert (inside == 60).all()


def test_the_image_itself_stays_as_it_is() -> None:
    before = IMAGE.copy()
    shown([[-5.0, -5, 200, 200]], [0], [[0.0, 0, 160, 120]], [1])
    np.testing.assert_array_equal(IMAGE, before)
