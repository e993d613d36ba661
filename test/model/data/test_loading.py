"""Ground truth of MOTChallenge folders as labelled images: which class each box is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.config import ConfigError, OneShotConfig
from qdtrack_model.data.held_out import load_held_out
from qdtrack_model.data.loading import DataConfig, SetConfig, find_sets, load_sets
from qdtrack_model.data.readers.mot import MotBoxes, MotError, read_mot, write_mot
from qdtrack_model.data.samples import IGNORED

CLASSES = ("vehicle", "pedestrian", "cyclist")


def labelled(folder: Path, columns: list[int]) -> Path:
    """The folder with ground truth of one box of each class column in frame 1."""
    count = len(columns)
    boxes = np.tile([10.0, 10, 30, 50], (count, 1))
    one = np.ones(count)
    write_mot(folder / "gt" / "gt.txt", MotBoxes(one, np.arange(1, count + 1), boxes, one, np.array(columns), one))
    return folder


@pytest.mark.parametrize(
    ("classes", "named", "columns", "labels"),
    [
        (CLASSES, (), [3, 1, 16, 4], [0, 1, 2, IGNORED]),
        (CLASSES, (3, 1, 4), [3, 1, 16, 4], [0, 1, IGNORED, 2]),
        (CLASSES, (), [-1, -1], [1, 1]),  # no classes are named: people
        (("dog",), (), [-1, -1], [0, 0]),
    ],
)
def test_boxes_are_of_the_class_that_their_column_says(
    blob_folder: Path, classes: tuple[str, ...], named: tuple[int, ...], columns: list[int], labels: list[int]
) -> None:
    model = OneShotConfig(classes=classes, columns=named, input_size=(96, 160))
    first, *_ = load_sets([labelled(blob_folder, columns)], model, DataConfig())[0].samples
    objects = first.read().objects
    assert objects.labels.tolist() == labels
    np.testing.assert_allclose(objects.boxes[0], [5, 5, 15, 25])


def test_without_any_object_of_the_classes_their_columns_are_named(blob_folder: Path) -> None:
    with pytest.raises(MotError, match=r"no object of class dog \(14\), cat \(15\) in frames 1-1"):
        load_sets([labelled(blob_folder, [1, 2])], OneShotConfig(classes=("dog", "cat")), DataConfig())


def test_classes_without_any_object_are_told(blob_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = OneShotConfig(classes=CLASSES, input_size=(96, 160))
    load_sets([labelled(blob_folder, [3, 1])], model, DataConfig())
    assert "warning: no object of class cyclist in the data: none is learned" in capsys.readouterr().err
    load_sets([labelled(blob_folder, [3, 1, 16])], model, DataConfig())
    assert "no object" not in capsys.readouterr().err


def test_colliding_classes_are_refused(blob_folder: Path) -> None:
    with pytest.raises(MotError, match="classes 'car' and 'vehicle' are both 3"):
        load_sets([blob_folder], OneShotConfig(classes=("car", "vehicle")), DataConfig())


def find(tmp_path: Path, *parts: str) -> list[str]:
    return [str(folder.relative_to(tmp_path)) for folder in find_sets([tmp_path.joinpath(*parts)], DataConfig())]


def test_sequences_and_stills_are_found_side_by_side(blob_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stills").mkdir()
    (tmp_path / "stills" / "instances.json").write_text("{}")
    (tmp_path / "other").mkdir()
    assert find(tmp_path) == ["squares", "stills"]
    assert find(tmp_path, "squares") == ["squares"]
    with pytest.raises(ValueError, match="other: no data set that is known by its files"):
        find(tmp_path, "other")


def test_a_set_is_used_as_its_folder_or_the_one_above_is_told(blob_folder: Path) -> None:
    model = OneShotConfig(classes=("pedestrian",), input_size=(96, 160))
    write_mot(blob_folder / "gt" / "gt.txt", read_mot(blob_folder / "gt" / "gt.txt"))
    for name, expected in (("squares", 3), (blob_folder.parent.name, 3), ("another", 20)):
        config = DataConfig(sets={name: SetConfig(weight=2.0, frames=(4, 6))}, others=SetConfig(weight=0.5))
        (found,) = load_sets([blob_folder], model, config)
        assert len(found.samples) == expected
        assert found.weight == (2.0 if expected == 3 else 0.5)
        assert not found.still


def test_a_recipe_that_names_a_class_of_no_network_is_refused(tmp_path: Path) -> None:
    config = DataConfig(categories={"pedestrain": ("person",)})
    with pytest.raises(ConfigError, match=r"'pedestrain' is none of the model's classes \(pedestrian, vehicle\)"):
        config.reading(tmp_path, OneShotConfig(classes=("pedestrian", "vehicle")), "all")


def test_a_recipe_may_name_a_format_and_half_of_every_sequence(blob_folder: Path) -> None:
    model = OneShotConfig(classes=("pedestrian",), input_size=(96, 160))
    above = blob_folder.parent
    config = DataConfig(sets={above.name: SetConfig(format="motchallenge", half=True)})
    assert find_sets([above], config) == [above]
    (found,) = load_sets([above], model, config)
    assert len(found.samples) == 11  # floor(20 / 2) + 1
    held_out = load_held_out([above], model, config, [found])
    assert held_out.sequences[f"{above.name}/squares"].stretches == [(12, 20)]
    with pytest.raises(ConfigError, match="format: got 'mot', expected one of motchallenge, lvis, coco"):
        SetConfig(format="mot")
    with pytest.raises(ConfigError, match=r"frames: got \(1, 2\), expected nothing beside half"):
        SetConfig(frames=(1, 2), half=True)
    with pytest.raises(ConfigError, match=r"ignore_score: got 0.3, expected classes in absent"):
        SetConfig(ignore_score=0.3)
    with pytest.raises(ConfigError, match=r"ignore_score: got 0.6, expected 0 < it < fill_score"):
        SetConfig(ignore_score=0.6, absent=("vehicle",), fill_score=0.5)
