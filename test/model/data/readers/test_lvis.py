"""LVIS v0.5: what is complete in an image, and COCO's objects joined by synset where LVIS has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.data.loading import DataConfig, SetConfig, find_sets, load_sets, reader_of
from qdtrack_model.data.readers import lvis
from qdtrack_model.data.reading import DataError, Reading
from qdtrack_model.data.samples import IGNORED

Ask, Picture = Callable[..., Reading], Callable[..., Path]
CLASSES = ("person", "car_(automobile)", "deer", "sock")


def square(x: float, y: float, side: float, **more: Any) -> dict[str, Any]:
    outline = [x, y, x + side, y, x + side, y + side, x, y + side]
    return {"id": 1, "bbox": [x, y, side, side], "segmentation": [outline], "area": side * side, **more}


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    """An image named as of 2014 with a person, where deer are absent and socks may lack a box; another by address."""
    images = [
        {"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "width": 80, "height": 60, "neg_category_ids": [3],
         "not_exhaustive_category_ids": [4]},
        {"id": 12, "coco_url": "http://images/train2017/000000000012.jpg", "width": 80, "height": 60,
         "neg_category_ids": [], "not_exhaustive_category_ids": []},
    ]  # fmt: skip
    synsets = ["person.n.01", "car.n.01", "deer.n.01", "sock.n.01"]
    categories = [
        {"id": i, "name": "baby" if i == 1 else name, "synset": synset, "frequency": "f"}
        for i, (name, synset) in enumerate(zip(CLASSES, synsets, strict=True), start=1)
    ]
    boxes = [square(10, 10, 20, image_id=9, category_id=1), square(50, 30, 10, image_id=9, category_id=4)]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (tmp_path / "lvis_v0.5_train.json").write_text(json.dumps(content))
    for number in (9, 12):
        picture(tmp_path / "train2017" / f"{number:012d}.jpg")
    return tmp_path


def join_coco(folder: Path, *boxes: dict[str, Any]) -> None:
    names = ["person", "car", "dog"]
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    (folder / "annotations").mkdir(exist_ok=True)
    content = {"images": [], "annotations": boxes, "categories": categories}
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    mapping = {name: {"coco_cat_id": i, "synset": f"{name}.n.01"} for i, name in enumerate(names, start=1)}
    (folder / "coco_to_synset.json").write_text(json.dumps(mapping))


def test_alone_it_knows_of_each_image_what_is_complete(folder: Path, asked: Ask) -> None:
    [recording], _ = lvis.read(folder, asked(classes=CLASSES, part="train"))
    first, second = recording.samples
    assert recording.still
    assert first.objects.labels.tolist() == [0, 3]
    assert first.objects.open_labels.tolist() == [1, 3], "persons are complete, there are no deer"
    assert second.objects.open_labels.tolist() == [0, 1, 2, 3]
    complete = asked(classes=CLASSES, labelling={"complete": ("all",)})
    assert len(lvis.read(folder, complete)[0][0].samples[1].objects.open_labels) == 0


def test_objects_of_coco_join_where_lvis_has_none(folder: Path, asked: Ask) -> None:
    pytest.importorskip("pycocotools")
    counts = {"size": [60, 80], "counts": [0, 60 * 10, 60 * 70]}  # by columns: the ten on the left are in the mask
    join_coco(
        folder,
        square(11, 11, 20, image_id=9, category_id=1),  # 361 of 439: the person of LVIS
        square(13, 13, 20, image_id=9, category_id=2),  # 289 of 511: another object
        square(60, 5, 10, image_id=9, category_id=3),  # a dog, of which LVIS knows nothing
        square(60, 5, 10, image_id=77, category_id=1),  # in no image of LVIS
        square(0, 0, 60, image_id=9, category_id=1) | {"segmentation": counts, "iscrowd": 1},
        square(10, 10, 20, image_id=9, category_id=2) | {"bbox": [0, 0, 80, 60], "segmentation": counts},
    )
    [recording], odd = lvis.read(folder, asked(classes=CLASSES, part="train"))
    first, second = (sample.objects for sample in recording.samples)
    assert first.labels.tolist() == [0, 3, 1, IGNORED, 1]
    assert first.boxes[2].tolist() == [13, 13, 33, 33]
    assert first.open_labels.tolist() == [3]
    assert second.open_labels.tolist() == [2, 3], "of the classes that COCO has every object has a box"
    assert odd == {"objects of COCO that LVIS has too: left out": 1}


def test_what_lacks_or_is_broken_is_named(folder: Path, asked: Ask) -> None:
    pytest.importorskip("pycocotools")
    join_coco(folder, square(11, 11, 20, image_id=9, category_id=1) | {"segmentation": [[1, 2]]})
    with pytest.raises(ValueError, match=r"annotations\[0\]\.segmentation: got \[\[1, 2\]\], expected an outline"):
        lvis.read(folder, asked(classes=CLASSES, part="train"))
    for segmentation, message in (
        ([[11, 11, 1e30, 11, 31, 31]], "segmentation: got .* expected an outline"),
        ([[11, 11, float("inf"), 11, 31, 31]], "got inf, expected a number"),
        ({"size": [60, 80], "counts": [0, 60 * 10]}, "counts: got .* expected counts of 4800 pixels"),
        ({"size": [10**9, 80], "counts": "00"}, r"size: got .* expected \[60, 80\], that of the image"),
        ({"counts": "00"}, "size is missing"),
    ):
        join_coco(folder, square(11, 11, 20, image_id=9, category_id=1) | {"segmentation": segmentation})
        with pytest.raises(ValueError, match=message):
            lvis.read(folder, asked(classes=CLASSES, part="train"))
    (folder / "annotations" / "instances_train2017.json").unlink()
    with pytest.raises(DataError, match=r"coco_to_synset\.json asks for COCO's objects"):
        lvis.read(folder, asked(classes=CLASSES, part="train"))


def test_rare_classes_are_drawn_more_often(folder: Path, asked: Ask) -> None:
    from qdtrack_model.config import OneShotConfig

    join_coco(folder)
    (folder / "coco_to_synset.json").unlink()
    config = DataConfig(sets={folder.name: SetConfig(repeat_below=0.9, complete=("all",))})
    assert reader_of(folder, config) == ("lvis", lvis), "although COCO's files lie there, too"
    [part] = load_sets(find_sets([folder], config), OneShotConfig(classes=CLASSES), config)
    assert part.repeats is not None
    assert part.repeats.tolist() == pytest.approx([(0.9 / 0.5) ** 0.5, 1.0])
    assert part.share == pytest.approx(1 + 1.8**0.5)
