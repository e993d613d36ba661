"""Average precision in single images: equal to COCO's public code, with ignored regions and without any object."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qdtrack_model.evaluation.detection import JudgedImage, average_precision, judged
from qdtrack_model.structures import Array, Detections


def official(images: list[JudgedImage]) -> tuple[float, float]:
    """AP50 and AP by pycocotools; ignored regions are crowds."""

    def row(box: Array, image: int, **more: float) -> dict[str, object]:
        x1, y1, x2, y2 = map(float, box)
        sides = (x2 - x1, y2 - y1)
        return {"image_id": image, "category_id": 1, "bbox": [x1, y1, *sides], "area": sides[0] * sides[1], **more}

    truths: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for number, image in enumerate(images, start=1):
        for crowd, boxes in enumerate((image.boxes, image.ignored)):
            truths += [row(box, number, id=len(truths) + 1 + i, iscrowd=crowd) for i, box in enumerate(boxes)]
        results += [row(box, number, score=float(s)) for box, s in zip(image.found, image.scores, strict=True)]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        ids = [{"id": number} for number in range(1, len(images) + 1)]
        known.dataset = {"info": {}, "images": ids, "annotations": truths, "categories": [{"id": 1}]}
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1]), float(evaluation.stats[0])


def boxes(random: np.random.Generator, count: int) -> Array:
    corners, sides = random.uniform(0, 80, (count, 2)), random.uniform(4, 40, (count, 2))
    return np.concatenate([corners, corners + sides], axis=1)


def random_image(random: np.random.Generator) -> JudgedImage:
    """Objects, some found well, some badly, some twice; results within ignored regions and beside them."""
    objects, ignored = boxes(random, random.integers(0, 7)), boxes(random, random.integers(0, 3))
    near = np.concatenate([objects, objects, ignored])
    near = near + random.normal(0, 3, near.shape)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    found = np.concatenate([near, boxes(random, random.integers(0, 160))])
    scores = random.integers(1, 12, len(found)) / 12  # many are equal
    return JudgedImage(objects, ignored, found, scores)


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_the_public_code_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    images = [random_image(random) for _ in range(15)]
    found = average_precision(images)
    assert (found.ap50, found.ap) == pytest.approx(official(images), abs=1e-9)
    assert found.ap50 is not None and 0.02 < found.ap50 < 0.98
    assert found.images == 15 and found.objects == sum(len(image.boxes) for image in images)


BOX = np.array([[10.0, 10, 30, 50]])
NOTHING = np.zeros((0, 4))


def test_a_result_on_an_ignored_object_is_neither_right_nor_wrong() -> None:
    found, scores = np.concatenate([BOX + 60, BOX]), np.array([0.9, 0.8])
    assert average_precision([JudgedImage(BOX, NOTHING, found, scores)]).ap50 == pytest.approx(0.5)
    assert average_precision([JudgedImage(BOX, BOX + 60, found, scores)]).ap50 == pytest.approx(1.0)


def test_nothing_found_is_zero_and_no_object_is_no_number() -> None:
    missed = average_precision([JudgedImage(BOX, NOTHING, NOTHING, np.zeros(0))])
    assert (missed.ap50, missed.ap, missed.objects, missed.images) == (0.0, 0.0, 1, 1)
    empty = average_precision([JudgedImage(NOTHING, NOTHING, BOX, np.ones(1))])
    assert (empty.ap50, empty.ap, empty.objects, empty.images) == (None, None, 0, 1)
    assert average_precision([]).ap50 is None


def test_an_image_is_judged_by_one_class() -> None:
    found = Detections(np.concatenate([BOX, BOX + 5]), np.array([0.9, 0.8]), np.array([0, 1]), np.zeros((2, 1)))
    image = judged(np.concatenate([BOX, BOX + 5, BOX + 40]), np.array([1, 0, -1]), found, 0)
    np.testing.assert_array_equal(image.boxes, BOX + 5)
    np.testing.assert_array_equal(image.ignored, BOX + 40)
    np.testing.assert_array_equal(image.found, BOX)
    assert image.scores == pytest.approx([0.9])
