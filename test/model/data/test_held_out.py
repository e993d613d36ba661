"""What weights are judged by: frames and images that no training sees, and the classes that are labelled in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from qdtrack_model.config import OneShotConfig
from qdtrack_model.data.held_out import HeldOut, load_held_out
from qdtrack_model.data.loading import DataConfig, SetConfig, load_sets
from qdtrack_model.data.readers.mot import MotBoxes, MotError, read_mot, write_mot

MODEL = OneShotConfig(classes=("pedestrian", "vehicle"), input_size=(96, 160))


def load(folder: Path, frames: tuple[int, int] | None = None) -> HeldOut:
    return load_held_out([folder], MODEL, DataConfig(sets={folder.name: SetConfig(frames=frames)}))


def stills(folder: Path, *splits: str) -> Path:
    """Images of 80x60 with one pedestrian each, of the given splits."""
    folder.mkdir()
    images = []
    for number, split in enumerate(splits, start=1):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((60, 80, 3), 100, np.uint8))
        entry = {"id": number, "file_name": f"{number}.png", "width": 80, "height": 60}
        images.append(entry | ({"split": split} if split else {}))
    boxes = [{"image_id": i["id"], "category_id": 1, "bbox": [10, 10, 20, 40]} for i in images]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "pedestrian"}]}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("trained", "stretches"),
    [
        (None, [(1, 20)]),
        ((1, 12), [(13, 20)]),
        ((5, 20), [(1, 4)]),
        ((5, 12), [(1, 4), (13, 20)]),
    ],
)
def test_a_sequence_is_judged_by_the_frames_that_training_leaves(
    blob_folder: Path, trained: tuple[int, int] | None, stretches: list[tuple[int, int]]
) -> None:
    assert load(blob_folder, trained).sequences["squares"].stretches == stretches


def test_nothing_left_is_named(blob_folder: Path) -> None:
    with pytest.raises(MotError, match="no object of class pedestrian, vehicle in its frames 1-20 beside 1-20"):
        load(blob_folder, (1, 20))


def test_only_classes_with_ground_truth_are_judged_and_others_are_ignored(blob_folder: Path) -> None:
    truth = read_mot(blob_folder / "gt" / "gt.txt")
    classes = np.where(truth.ids == 1, 4, 3)  # a bicycle and two vehicles
    write_mot(blob_folder / "gt" / "gt.txt", replace(truth, classes=classes))
    sequence = load(blob_folder).sequences["squares"]
    assert sequence.columns.tolist() == [3]
    assert set(sequence.truth.confidences[truth.ids == 1]) == {0}
    assert set(sequence.truth.confidences[truth.ids != 1]) == {1}


def test_without_classes_all_are_people(blob_folder: Path) -> None:
    truth = read_mot(blob_folder / "gt" / "gt.txt")
    write_mot(blob_folder / "gt" / "gt.txt", replace(truth, classes=np.full(len(truth), -1)))
    sequence = load(blob_folder).sequences["squares"]
    assert sequence.columns.tolist() == [1]
    assert set(sequence.truth.classes) == {1}


def test_what_is_trained_on_judges_nothing(blob_folder: Path, tmp_path: Path) -> None:
    unnamed, named, other = (
        stills(tmp_path / "a", "", ""),
        stills(tmp_path / "b", "train", "val"),
        stills(tmp_path / "c", ""),
    )
    folders, config = [unnamed, named, blob_folder], DataConfig()
    trained = load_sets(folders, MODEL, config)
    found = load_held_out([named, other], MODEL, config, trained)
    assert [image.path.name for image in found.stills["b"]] == ["2.png"]
    assert len(found.stills["c"]) == 1
    with pytest.raises(ValueError, match="a: all of it is trained on; give each image a `split`"):
        load_held_out([unnamed], MODEL, config, trained)
    with pytest.raises(ValueError, match="squares: all of it is trained on; leave some by `frames`"):
        load_held_out([blob_folder], MODEL, config, trained)
    left = load_held_out([blob_folder], MODEL, config, trained, frames=(1, 15))
    assert left.sequences["squares"].stretches == [(16, 20)]


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    places = ("here/day", "here/night", "there/night")
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        stills(tmp_path / place / "val", "")
    folders = [tmp_path / place / "val" for place in places]
    assert list(load_held_out(folders[:2], MODEL, DataConfig()).stills) == ["day/val", "night/val"]
    with pytest.raises(ValueError, match="expected folders of different names"):
        load_held_out(folders, MODEL, DataConfig())


def test_other_data_have_another_fingerprint(blob_folder: Path, tmp_path: Path) -> None:
    folder = stills(tmp_path / "a", "", "")
    prints = {load(blob_folder).fingerprint(), load(blob_folder, (1, 5)).fingerprint(), load(folder).fingerprint()}
    assert load(folder).fingerprint() in prints
    truth = read_mot(blob_folder / "gt" / "gt.txt")
    write_mot(blob_folder / "gt" / "gt.txt", MotBoxes(
        truth.frames, truth.ids, truth.boxes + 1, truth.confidences, truth.classes, truth.visibilities
    ))  # fmt: skip
    prints.add(load(blob_folder).fingerprint())
    assert len(prints) == 4


def test_sequences_of_any_data_set_are_held_out(tmp_path: Path) -> None:
    """KITTI, whose regions without labels and unknown identities are ignored; half of it is trained on."""
    labels, images = tmp_path / "kitti" / "label_02", tmp_path / "kitti" / "image_02" / "0000"
    labels.mkdir(parents=True)
    images.mkdir(parents=True)
    rows = []
    for frame in range(6):
        cv2.imwrite(str(images / f"{frame:06d}.png"), np.full((60, 80, 3), 20 * frame, np.uint8))
        rows += [f"{frame} 3 Pedestrian 0 0 0 10 10 30 50", f"{frame} -1 DontCare -1 -1 -10 40 10 60 50"]
        rows += [f"{frame} -1 Pedestrian 0 0 0 60 10 70 50"]
    (labels / "0000.txt").write_text("\n".join(rows))
    folder = tmp_path / "kitti"
    config = DataConfig(sets={"kitti": SetConfig(half=True)})
    [trained] = load_sets([folder], MODEL, config)
    sequence = load_held_out([folder], MODEL, config, [trained]).sequences["kitti"]
    assert len(trained.samples) == 4
    assert sequence.stretches == [(5, 6)]
    assert sequence.truth.confidences.tolist() == [1, 0, 0] * 6
    assert sequence.columns.tolist() == [1]
    with sequence.images() as source:
        assert [(frame.index, frame.time, int(frame.image[0, 0, 0])) for frame in source][4] == (5, 0.4, 80)
    with pytest.raises(ValueError, match="0000: all of it is trained on; leave some by `frames`"):
        load_held_out([folder], MODEL, DataConfig(), load_sets([folder], MODEL, DataConfig()))
