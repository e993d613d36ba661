import dataclasses
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.data.samples import IGNORED, LabelledImage, Objects
from qdtrack_model.training.targets import (
    BACKGROUND,
    UNKNOWN,
    UNUSED,
    beside_centres,
    centre_targets,
    draw_gaussian,
    gaussian_radius,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "one_shot.npz"
LOSSES = REFERENCE.with_name("one_shot_losses.npz")


def test_radius_equals_the_reference() -> None:
    arrays = np.load(REFERENCE)
    radii = [gaussian_radius(height, width) for height, width in arrays["radius_hw"]]
    np.testing.assert_allclose(radii, arrays["radius"], rtol=1e-9)


def test_heatmap_equals_the_reference() -> None:
    arrays = np.load(REFERENCE)
    heat = np.zeros_like(arrays["heat"])
    for column, row, radius in arrays["heat_centers_xyr"]:
        draw_gaussian(heat, column, row, radius)
    np.testing.assert_allclose(heat, arrays["heat"], atol=1e-6)


@pytest.mark.parametrize(("column", "row"), [(0, 0), (9, 5), (0, 5)])
def test_a_centre_at_the_border_still_peaks_at_one(column: int, row: int) -> None:
    heat = np.zeros((6, 10), np.float32)
    draw_gaussian(heat, column, row, 4)
    assert heat[row, column] == 1
    assert (heat == 1).sum() == 1


@pytest.mark.parametrize("case", range(3))
def test_places_beside_centres_equal_the_reference(case: int) -> None:
    with np.load(LOSSES) as arrays:
        used = arrays[f"{case}_mask"].astype(bool)
        index, sizes, directions, expected = (
            arrays[f"{case}_{name}"][used] for name in ("index", "wh", "direction", "positive_index")
        )
    np.testing.assert_array_equal(beside_centres(index, sizes, directions, (32, 48)), expected)


def test_places_beside_centres_stay_within_the_map() -> None:
    corners, large = np.array([0, 23, 24 * 15, 24 * 16 - 1]), np.full((4, 2), 60.0)
    for direction in ([0, 0], [0, 1], [1, 0], [1, 1]):
        places = beside_centres(corners, large, np.array([direction] * 4), (16, 24))
        assert ((places >= 0) & (places < 16 * 24)).all()
        assert (places == corners).sum() == 2  # two of the four corners end in this direction


def labelled(boxes: list[list[float]], labels: list[int]) -> LabelledImage:
    return LabelledImage(
        np.zeros((64, 96, 3), np.uint8),
        Objects(np.array(boxes, float).reshape(-1, 4), np.arange(len(boxes)) + 7, np.array(labels)),
    )


def test_objects_ignored_regions_and_background_are_told_apart() -> None:
    view = labelled([[8, 8, 28, 48], [60, 10, 80, 50]], [1, IGNORED])
    targets = centre_targets(view, 2, places=40, per_object=4, random=np.random.default_rng(0))
    row, column = (8 + 48) // 2 // 4, (8 + 28) // 2 // 4
    assert targets.heat[1, row, column] == 1
    assert targets.heat[0].max() == 0  # nothing of class 0
    assert targets.ignored[:, 5, 17].all()
    assert not targets.ignored[:, row, column].any()
    object_rows = targets.identity == 7
    assert row * 24 + column in targets.index[object_rows]
    np.testing.assert_allclose(targets.boxes[object_rows], np.array([[8, 8, 28, 48]]).repeat(object_rows.sum(), 0) / 4)
    background = targets.index[targets.identity == BACKGROUND]
    assert len(background) == 10
    assert not targets.ignored.all(0).flatten()[background].any()
    assert set(np.unique(targets.identity)) == {7, BACKGROUND, UNUSED}


def test_an_object_of_unknown_identity_is_an_object() -> None:
    view = labelled([[8, 8, 28, 48], [60, 10, 80, 50]], [0, 0])
    known = centre_targets(view, 1, places=40, per_object=4, random=np.random.default_rng(0))
    unknown = LabelledImage(view.image, dataclasses.replace(view.objects, ids=np.array([7, -1])))
    targets = centre_targets(unknown, 1, places=40, per_object=4, random=np.random.default_rng(0))
    for name in ("heat", "ignored", "index", "boxes"):
        np.testing.assert_array_equal(getattr(targets, name), getattr(known, name), name)
    np.testing.assert_array_equal(targets.identity, np.where(known.identity == 8, UNKNOWN, known.identity))


def test_more_places_than_room_are_thinned_and_none_are_padded() -> None:
    random = np.random.default_rng(0)
    crowd = labelled([[4.0 * i, 4.0, 4.0 * i + 20, 50.0] for i in range(15)], [0] * 15)
    assert (centre_targets(crowd, 1, 16, 5, random).identity != UNUSED).all()
    nobody = centre_targets(labelled([], []), 1, 16, 5, random)
    assert (nobody.identity == BACKGROUND).sum() == 4
    assert nobody.heat.max() == 0


def test_a_class_that_is_not_labelled_is_asked_for_nowhere_but_at_its_known_objects() -> None:
    view = labelled([[8, 8, 28, 48], [60, 8, 80, 48]], [0, 1])
    whole = dataclasses.replace(view.objects, open_boxes=np.array([[0.0, 0, 96, 64]]), open_labels=np.array([1]))
    targets = centre_targets(LabelledImage(view.image, whole), 2, 40, 4, np.random.default_rng(0))
    assert not targets.ignored[0].any(), "the other class is complete"
    known = np.zeros((16, 24), bool)
    known[2:12, 15:20] = True
    np.testing.assert_array_equal(targets.ignored[1], ~known)
    assert targets.heat[1, 7, 17] == 1
    assert (targets.identity == BACKGROUND).sum() == 10, "background still tells embeddings what is no object"
