"""Stills in COCO form: what is labelled, what is not, and what is wrong in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qdtrack_model.config import OneShotConfig
from qdtrack_model.data.loading import DataConfig, load_sets
from qdtrack_model.data.readers import coco
from qdtrack_model.data.readers.coco import CocoError
from qdtrack_model.data.reading import Labelling, Odd, Part, Reading
from qdtrack_model.data.samples import IGNORED, SampleError, StoredImage
from qdtrack_model.training.targets import centre_targets

CLASSES = ("pedestrian", "vehicle")
NAMES = {"pedestrian": ["person"], "vehicle": ["Car", "bus"], "ignored": ["bicycle"]}
CATEGORIES = ["person", "car", "bus", "bicycle", "dog"]
LARGEST = (480, 640)


def write_set(folder: Path, name: str = "instances.json", **changes: Any) -> Path:
    """Two images of 80x60: a person, a car and a bicycle in the first, a dog in the second."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.full((60, 80, 3), 40 * number, np.uint8))
    boxes = [(1, "person", [2, 3, 10, 30]), (1, "car", [40, 20, 30, 20.5]), (1, "bicycle", [0, 0, 9, 9])]
    boxes += [(2, "dog", [5, 5, 20, 20])]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 80, "height": 60} for i in (1, 2)],
        "annotations": [
            {"id": i, "image_id": image, "category_id": CATEGORIES.index(kind), "bbox": box}
            for i, (image, kind, box) in enumerate(boxes)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CATEGORIES)],
    }
    (folder / name).write_text(json.dumps(content | changes))
    return folder


def read(folder: Path, part: Part = "all", **how: Any) -> list[StoredImage]:
    return read_coco(folder, Labelling(CLASSES, NAMES, **how), LARGEST, part)[0]


def read_coco(
    folder: Path, labelling: Labelling, largest: tuple[int, int], part: Part = "all"
) -> tuple[list[StoredImage], Odd]:
    [stills], odd = coco.read(folder, Reading(labelling, largest=largest, part=part))
    assert stills.still
    return [sample for sample in stills.samples if isinstance(sample, StoredImage)], odd


def test_boxes_become_objects_of_the_classes(tmp_path: Path) -> None:
    images, odd = read_coco(write_set(tmp_path), Labelling(CLASSES, NAMES), LARGEST)
    first, second = images
    np.testing.assert_array_equal(first.objects.boxes, [[2, 3, 12, 33], [40, 20, 70, 40.5], [0, 0, 9, 9]])
    assert first.objects.labels.tolist() == [0, 1, IGNORED]
    assert len(set(first.objects.ids.tolist())) == 3
    assert len(second.objects.boxes) == 0, "what is no class is background"
    assert len(first.objects.open_boxes) == len(second.objects.open_boxes) == 0, "and all of the file is complete"
    assert (second.read().image == 80).all()
    assert odd == {"objects of categories that are no class: taken for background": 1}


@pytest.mark.parametrize("name", ["annotations.json", "_annotations.coco.json"])
def test_images_may_lie_beside_the_file_and_classes_go_by_their_own_names(tmp_path: Path, name: str) -> None:
    folder = write_set(tmp_path, name)
    for path in (folder / "images").iterdir():
        path.rename(folder / path.name)
    images, _ = read_coco(folder, Labelling(("Dog",)), LARGEST)
    assert [len(image.objects.boxes) for image in images] == [0, 1]


@pytest.mark.parametrize(
    ("info", "image", "how", "expected"),
    [
        ({}, {}, {}, []),
        ({"labelled": ["person", "dog"]}, {}, {}, [1]),
        ({"labelled": ["person", "car"]}, {}, {}, [1]),  # no bus was labelled
        ({"labelled": ["person", "car", "bus"]}, {}, {}, []),
        ({"labelled": ["person", "car", "bus"]}, {"labelled": ["CAR", "bus"]}, {}, [0]),
        ({"labelled": []}, {}, {"complete": ("pedestrian",)}, [1]),
        ({}, {}, {"partial": ("vehicle",)}, [1]),
    ],
)
def test_what_is_not_labelled_may_be_anywhere(
    tmp_path: Path, info: dict[str, Any], image: dict[str, Any], how: dict[str, Any], expected: list[int]
) -> None:
    images = [{"id": i, "file_name": f"{i}.png", "width": 80, "height": 60, **image} for i in (1, 2)]
    first = read(write_set(tmp_path, info=info, images=images), **how)[0]
    assert first.objects.open_labels.tolist() == expected
    assert first.objects.open_boxes.tolist() == [[0, 0, 80, 60]] * len(expected)
    assert first.objects.labels.tolist() == [0, 1, IGNORED], "what has a box is learned all the same"


def test_detections_fill_what_is_not_labelled(tmp_path: Path) -> None:
    folder = write_set(tmp_path, info={"labelled": ["person"]})
    seen = [
        ("car", [41, 20, 30, 20], 0.9),  # the labelled car
        ("car", [5, 40, 20, 15], 0.6),
        ("bus", [50, 0, 20, 15], 0.4),  # too weak
        ("person", [50, 0, 20, 15], 0.9),  # people are complete
    ]
    rows = [{"image_id": 1, "category": c, "bbox": box, "score": score} for c, box, score in seen]
    (folder / "detected.json").write_text(json.dumps(rows))
    first, second = read(folder)
    np.testing.assert_array_equal(first.objects.boxes[3:], [[5, 40, 25, 55]])
    assert first.objects.labels.tolist() == [0, 1, IGNORED, 1]
    assert first.objects.open_labels.tolist() == second.objects.open_labels.tolist() == [1], "others may be there"
    first, second = read(folder, absent=("vehicle",))
    assert first.objects.open_labels.tolist() == [1]
    assert second.objects.open_labels.tolist() == [], "nothing was seen there"


def test_where_a_detector_was_not_sure_nothing_is_learned_and_all_else_is_background(tmp_path: Path) -> None:
    folder = write_set(tmp_path, info={"labelled": ["person"]})
    seen = [
        (1, "car", [5, 40, 20, 15], 0.7),
        (1, "bus", [50, 0, 20, 15], 0.4),
        (1, "car", [0, 0, 9, 9], 0.2),  # too weak to count
        (1, "person", [60, 0, 9, 20], 0.4),  # people are complete
        (2, "bicycle", [20, 0, 30, 15], 0.9),  # ignored, whatever its score
    ]
    rows = [{"image_id": i, "category": c, "bbox": box, "score": score} for i, c, box, score in seen]
    (folder / "detected.json").write_text(json.dumps(rows))
    first, second = read(folder, absent=("vehicle",), fill_score=0.6, ignore_score=0.3)
    assert first.objects.labels.tolist() == [0, 1, IGNORED, 1]
    assert first.objects.open_boxes.tolist() == [[50, 0, 70, 15]]
    assert second.objects.open_boxes.tolist() == [[20, 0, 50, 15]]
    assert {*first.objects.open_labels, *second.objects.open_labels} == {1}
    targets = centre_targets(first.read(), 2, 16, 4, np.random.default_rng(0))
    assert targets.ignored[1, 1, 14], "the bus that may be one"
    assert not targets.ignored[1, 1, 8] and targets.heat[1, 1, 8] == 0, "background"
    assert not targets.ignored[1, 12, 4], "what was filled is learned"


def entries(*splits: str | None) -> list[dict[str, Any]]:
    """The images of ``write_set``, each of a split or of none."""
    images: list[dict[str, Any]] = [
        {"id": i, "file_name": f"{i}.png", "width": 80, "height": 60} for i in range(1, len(splits) + 1)
    ]
    return [image | ({"split": split} if split else {}) for image, split in zip(images, splits, strict=True)]


@pytest.mark.parametrize(
    ("splits", "part", "expected"),
    [
        (("val", "train"), "train", ["2.png"]),
        (("val", "train"), "val", ["1.png"]),
        (("val", "train"), "all", ["1.png", "2.png"]),
        (("val", None), "train", ["2.png"]),
        (("val", None), "val", ["1.png"]),
        ((None, None), "train", ["1.png", "2.png"]),
        ((None, None), "val", ["1.png", "2.png"]),
        (("test", "train"), "train", ["2.png"]),
    ],
)
def test_an_image_is_of_the_split_that_it_names(
    tmp_path: Path, splits: tuple[str | None, ...], part: Part, expected: list[str]
) -> None:
    folder = write_set(tmp_path, images=entries(*splits))
    assert [image.path.name for image in read(folder, part)] == expected


def test_a_split_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="not one usable image of split 'val'"):
        read(write_set(tmp_path, images=entries("train", "train")), "val")


def test_crowds_are_ignored(tmp_path: Path) -> None:
    crowd = [{"id": 1, "image_id": 2, "category_id": 0, "bbox": [1, 1, 50, 50], "iscrowd": 1}]
    assert read(write_set(tmp_path, annotations=crowd))[1].objects.labels.tolist() == [IGNORED]


def test_nobody_is_judged_by_what_a_detector_saw(tmp_path: Path) -> None:
    folder = write_set(tmp_path, info={"labelled": ["person"]})
    (folder / "detected.json").write_text('[{"image_id": 2, "category": "car", "bbox": [5, 5, 20, 20], "score": 0.9}]')
    learned, judged = (read(folder, part, absent=("vehicle",)) for part in ("train", "val"))
    assert [image.objects.labels.tolist() for image in learned] == [[0, 1, IGNORED], [1]]
    assert [image.objects.open_labels.tolist() for image in learned] == [[], [1]]
    assert [image.objects.labels.tolist() for image in judged] == [[0, 1, IGNORED], []]
    assert [image.objects.open_labels.tolist() for image in judged] == [[1], [1]]


def test_without_detections_nothing_is_taken_for_absent(tmp_path: Path) -> None:
    images = read(write_set(tmp_path, info={"labelled": ["person"]}), absent=("vehicle",))
    assert [image.objects.open_labels.tolist() for image in images] == [[1], [1]]


def test_odd_entries_are_counted(tmp_path: Path) -> None:
    sizes = ((1, 80, 60), (2, 60, 80), (3, 80, 60))
    images = [{"id": i, "file_name": f"{i}.png", "width": w, "height": h} for i, w, h in sizes]
    boxes = [
        {"image_id": 1, "category_id": 0, "bbox": [1, 1, 0, 9]},
        {"image_id": 7, "category_id": 0, "bbox": [1, 1, 9, 9]},
    ]
    folder = write_set(tmp_path, images=images, annotations=boxes)
    found, odd = read_coco(folder, Labelling(CLASSES, NAMES), LARGEST)
    assert [image.path.name for image in found] == ["1.png"]
    assert odd == {
        "boxes without area: left out": 1,
        "boxes of images that are not in the file: left out": 1,
        "images of another size than the file says: left out": 1,
        "image files missing: left out": 1,
    }


def test_data_without_any_object_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, annotations=[])
    with pytest.raises(ValueError, match="no object of class person, dog in the data: there is nothing to learn"):
        load_sets([tmp_path], OneShotConfig(classes=("person", "dog")), DataConfig())


def test_boxes_end_at_the_border_of_their_image(tmp_path: Path) -> None:
    boxes = ([70, 50, 20, 30], [79.5, 0, 0.9, 9], [200, 10, 30, 30], [-5, 0, 10, 10])
    rows = [{"id": i, "image_id": 1, "category_id": 0, "bbox": box} for i, box in enumerate(boxes)]
    folder = write_set(tmp_path, annotations=rows)
    (image, _), odd = read_coco(folder, Labelling(CLASSES, NAMES), LARGEST)
    np.testing.assert_array_equal(image.objects.boxes, [[70, 50, 80, 60], [79.5, 0, 80, 9], [0, 0, 5, 10]])
    assert odd == {"boxes beyond their image: cut at its border": 3}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"annotations": [{"image_id": 1, "category_id": 77, "bbox": [0, 0, 1, 1]}]}, r"annotations\[0\].* 77"),
        ({"annotations": [{"image_id": 1, "category_id": 0, "bbox": [0, 0, -4, 9]}]}, r"bbox is \[0, 0, -4, 9\]"),
        ({"annotations": [{"image_id": 1, "category_id": 0, "bbox": [0, 0, float("nan"), 9]}]}, "bbox is .*nan"),
        ({"annotations": [{"image_id": 1, "category_id": 0, "bbox": [0, 0, 10**400, 9]}]}, "bbox is .*10000"),
        ({"annotations": [{"image_id": 1, "category_id": 0}]}, "bbox is None"),
        ({"annotations": [{"category_id": 0, "bbox": [0, 0, 1, 1]}]}, "image_id is None"),
        ({"annotations": [{"image_id": 1, "category_id": [0], "bbox": [0, 0, 1, 1]}]}, r"category_id is \[0\]"),
        ({"images": [{"id": 3}, {"id": 3}]}, r"images\[1\]: id is 3, as that of .*images\[0\]"),
        (
            {"categories": [{"id": 0, "name": "person"}, {"id": 0, "name": "car"}]},
            r"categories\[1\]: id is 0, as that of",
        ),
        ({"info": {"labelled": "person"}}, "labelled is 'person', expected a list of the file's categories"),
        ({"info": {"labelled": ["persn"]}}, "labelled is .'persn'., expected a list"),
        ({"images": [{"id": 1, "file_name": "../1.png", "width": 80, "height": 60}]}, r"file_name is '\.\./1\.png'"),
        ({"images": [{"id": 1, "file_name": "1.png"}]}, "width is None"),
        ({"images": []}, "not one usable image"),
        ({"images": {}}, "list of mappings under 'images'"),
        ({"info": []}, r"info is \[\]"),
        ({"categories": [{"id": i, "name": "cat"} for i in range(5)]}, r"none of its categories \(cat"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(CocoError, match=expected) as caught:
        read(write_set(tmp_path, **changes))
    assert str(tmp_path / "instances.json") in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "[" * 100_000, '{"images": [], "annotations": []}'])
def test_files_that_are_not_coco(tmp_path: Path, text: str) -> None:
    (write_set(tmp_path) / "instances.json").write_text(text)
    with pytest.raises(CocoError, match=r"instances\.json"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["{", "[{}]", '[{"image_id": 1, "category": "car", "bbox": [1], "score": 1}]', "7"])
def test_broken_detections_are_named(tmp_path: Path, text: str) -> None:
    folder = write_set(tmp_path, info={"labelled": []})
    (folder / "detected.json").write_text(text)
    with pytest.raises(CocoError, match=r"detected\.json"):
        read(folder)


def test_a_folder_without_annotations(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match=r"expected one of instances\.json"):
        read(tmp_path)


def test_an_image_whose_pixels_are_of_another_size_is_refused(tmp_path: Path) -> None:
    image = read(write_set(tmp_path))[0]
    cv2.imwrite(str(image.path), np.zeros((80, 60, 3), np.uint8))
    with pytest.raises(SampleError, match="60x80"):
        image.read()


def test_large_images_are_scaled_with_their_boxes(tmp_path: Path) -> None:
    [image, _], _ = read_coco(write_set(tmp_path), Labelling(CLASSES, NAMES), (30, 640))
    half = image.read()
    assert half.image.shape == (30, 40, 3)
    np.testing.assert_allclose(half.objects.boxes[0], [1, 1.5, 6, 16.5])
