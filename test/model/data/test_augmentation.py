"""Crops and mosaics: boxes stay on what they enclose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qdtrack_model.data.augmentation import (
    colour_tables,
    crop_map,
    draw_light,
    draw_warps,
    exposed,
    mixup,
    mosaic,
    view,
)
from qdtrack_model.data.samples import IGNORED, LabelledImage, Objects
from qdtrack_model.structures import Array


def bright(box: tuple[int, int, int, int], size: tuple[int, int] = (200, 120)) -> LabelledImage:
    """A dark image (width, height) with one bright rectangle, which is its one object."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return LabelledImage(image, Objects(np.array([box], float), np.array([3]), np.zeros(1, int)))


def enclosed(image: Array) -> list[float]:
    """The bounds of what is brighter than half, sub-pixel by the sum of brightness across."""
    rows, columns = (image[..., 0] > 127).any(1).nonzero()[0], (image[..., 0] > 127).any(0).nonzero()[0]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("scale", [0.2, 0.4, 0.7, 1.0, 2.3])
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_follow_pixels(scale: float, flip: bool) -> None:
    source = bright((60, 40, 120, 90))
    crop = (96, 64)
    shown = view(source, crop_map((200, 120), crop, np.array([90.0, 65.0]), scale, flip), crop)
    assert shown.image.shape == (64, 96, 3)
    np.testing.assert_allclose(shown.objects.boxes[0], enclosed(shown.image), atol=0.6)


def test_a_crop_stays_inside_an_image_that_is_large_enough() -> None:
    shown = view(bright((0, 0, 200, 120)), crop_map((200, 120), (96, 64), np.array([0.0, 500.0]), 1.0, False), (96, 64))
    assert shown.image.min() == 255


def test_what_is_cut_to_a_third_is_ignored_and_what_is_outside_left_out() -> None:
    boxes = np.array([[0.0, 0, 40, 40], [80, 0, 110, 40], [120, 0, 160, 40]])
    objects = Objects(boxes, np.arange(3), np.zeros(3, int), np.array([[90.0, 0, 190, 120]]), np.array([1]))
    seen = objects.seen_through(np.array([[1.0, 0, 0], [0, 1, 0]]), (90, 60))
    assert seen.ids.tolist() == [0, 1]
    assert seen.labels.tolist() == [0, IGNORED]
    assert len(seen.open_boxes) == 0


def test_a_mosaic_has_the_objects_of_its_parts_where_they_are_shown() -> None:
    random = np.random.default_rng(0)
    parts = [bright((60, 40, 120, 90)) for _ in range(6)]
    whole = mosaic(parts, 3, (300, 200), (1.0, 1.0), random)
    assert whole.image.shape == (200, 300, 3)
    assert whole.objects.ids.tolist() == 6 * parts[0].objects.ids.tolist()
    for x1, y1, x2, y2 in whole.objects.boxes.round().astype(int):
        assert whole.image[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].mean() > 240
    outside = whole.image[..., 0].astype(float)
    for x1, y1, x2, y2 in whole.objects.boxes.round().astype(int):
        outside[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = 0
    assert outside.max() < 130


def test_regions_of_a_part_stay_within_its_cell() -> None:
    part = bright((60, 40, 120, 90))
    objects = Objects(
        part.objects.boxes, part.objects.ids, part.objects.labels, np.array([[0.0, 0, 200, 120]]), np.array([1])
    )
    whole = mosaic([LabelledImage(part.image, objects), part], 2, (300, 100), (1.0, 1.5), np.random.default_rng(1))
    assert whole.objects.open_boxes.shape == (1, 4)
    x1, y1, x2, y2 = whole.objects.open_boxes[0]
    assert (x1, y1, y2) == (0, 0, 100) and 75 <= x2 <= 225


def test_mixed_images_show_the_objects_of_both() -> None:
    first, second = bright((10, 20, 50, 60)), bright((120, 40, 180, 90), (240, 160))
    region = np.array([[0.0, 0, 240, 160]])
    second = LabelledImage(second.image, replace(second.objects, open_boxes=region, open_labels=np.array([1])))
    for seed in range(20):
        both = mixup(first, second, (0, 0, 0), np.random.default_rng(seed))
        assert both.image.shape == first.image.shape
        np.testing.assert_array_equal(both.objects.boxes[0], first.objects.boxes[0])
        assert both.objects.ids.tolist() == [*first.objects.ids, *second.objects.ids][: len(both.objects.ids)]
        for x1, y1, x2, y2 in both.objects.boxes.round().astype(int):
            assert both.image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].min() > 30, "half of what is bright shines through"
        np.testing.assert_allclose(both.objects.open_boxes, [[0, 0, 200, 120]], atol=1e-9)


def test_both_maps_of_a_pair_show_nearly_the_same() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        first, second = draw_warps(bright((60, 40, 120, 90)), (96, 64), (0.7, 1.4), 0.1, random)
        assert np.sign(first[0, 0]) == np.sign(second[0, 0]), "the same flip"
        assert abs(np.log(first[1, 1] / second[1, 1])) <= 0.2
        assert 0.6 <= first[1, 1] <= 1.6


def test_turned_maps_keep_objects_in_their_boxes_and_the_same_middle() -> None:
    source = bright((60, 40, 100, 90))
    angles = []
    for seed in range(30):
        for warp in draw_warps(source, (192, 128), (1.0, 1.0), 0.0, np.random.default_rng(seed), turn=(5.0, 2.0)):
            [first, second] = warp[:, :2].T
            angles += [np.degrees(np.arctan2(first[1], abs(first[0]))), np.degrees(np.arctan2(-second[0], second[1]))]
            shown = view(source, warp, (192, 128))
            lit = np.argwhere(shown.image[..., 0] > 200)[:, ::-1]
            if len(lit) and len(shown.objects.boxes):
                x1, y1, x2, y2 = shown.objects.boxes[0]
                np.testing.assert_allclose([*lit.min(0), *(lit.max(0) + 1)], [x1, y1, x2, y2], atol=2.5)
    assert 4 < np.abs(angles).max() < 7.5
    assert np.ptp(angles) > 8


def test_no_strength_changes_no_colour() -> None:
    tables = colour_tables(np.random.default_rng(0), 0.0)
    np.testing.assert_array_equal(tables, np.arange(256)[:, None].repeat(3, 1))


def test_exposures_change_pixels_and_are_drawn_again_alike() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    for seed in range(40):  # blur, noise, compression, hue, channels and grey all come up
        one, other = (
            exposed(image, draw_light(0.3, random), 0.5, random)
            for random in (np.random.default_rng(seed), np.random.default_rng(seed))
        )
        np.testing.assert_array_equal(one, other)
        assert one.shape == image.shape and one.dtype == np.uint8
        assert not np.array_equal(one, image)


def test_what_lies_beyond_the_image_has_the_colour_of_the_padding() -> None:
    grey = LabelledImage(np.full((32, 64, 3), 90, np.uint8), Objects(np.zeros((0, 4)), np.zeros(0), np.zeros(0)))
    shown = view(grey, np.array([[1.0, 0, 16], [0, 1, -8]]), (64, 32), (104, 116, 124)).image
    assert (shown[:24, 16:] == 90).all()
    assert (shown[24:] == (104, 116, 124)).all()
    assert (shown[:, :16] == (104, 116, 124)).all()
