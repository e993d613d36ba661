"""Weights judged on stills and sequences by the real pipeline, whose network here finds coloured squares."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qdtrack_model import checkpoints, tracking
from qdtrack_model.cli import main
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.data.held_out import HeldOut, load_held_out
from qdtrack_model.data.loading import DataConfig, SetConfig, find_sets
from qdtrack_model.data.readers.mot import read_mot, write_mot
from qdtrack_model.networks import build
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Runtime
from qdtrack_model.structures import Array, Detections
from qdtrack_model.validation import validate

MODEL = OneShotConfig(classes=("pedestrian", "vehicle"), input_size=(96, 160), embedding_size=2)
BlobImage = Callable[..., tuple[Array, Array]]


class TwoClasses:
    """Squares are pedestrians but for the one at the bottom, which is a vehicle."""

    takes_gpu_images = False

    def __init__(self, blobs: Runtime) -> None:
        self._blobs = blobs
        self.config = MODEL

    def infer(self, images: Array) -> list[Detections]:
        found = self._blobs.infer(images)
        return [replace(one, labels=(one.boxes[:, 1] > 60).astype(np.int64)) for one in found]


@pytest.fixture
def pipeline(blobs: Any) -> Pipeline:
    return Pipeline(TwoClasses(blobs), tracking.build(QuasiDenseConfig()))  # type: ignore[arg-type]


def write_stills(folder: Path, blob_image: BlobImage, categories: list[list[str]], **info: Any) -> Path:
    """Images of three squares each; ``categories`` name those that have a box, from the top."""
    folder.mkdir()
    names = ["pedestrian", "vehicle", "bicycle"]
    images, boxes = [], []
    for number, labelled in enumerate(categories, start=1):
        image, squares = blob_image(number)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "width": 320, "height": 192})
        for category, (x1, y1, x2, y2) in zip(labelled, squares.tolist(), strict=False):
            kind = names.index(category)
            boxes.append({"image_id": number, "category_id": kind, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    kinds = [{"id": i, "name": name} for i, name in enumerate(names)]
    content = {"images": images, "annotations": boxes, "categories": kinds, "info": info}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def load(*folders: Path, **sets: SetConfig) -> HeldOut:
    config = DataConfig(categories={"ignored": ("bicycle",)}, sets=sets)
    return load_held_out(find_sets(folders, config), MODEL, config)


def test_stills_are_scored_by_class_and_set(pipeline: Pipeline, blob_image: BlobImage, tmp_path: Path) -> None:
    whole = ["pedestrian", "pedestrian", "vehicle"]
    full = write_stills(tmp_path / "full", blob_image, [whole] * 3)
    poor = write_stills(tmp_path / "poor", blob_image, [[], whole, ["pedestrian"]])
    report = validate(pipeline, load(full, poor))
    vehicles = {name: precision.ap50 for name, precision in report.stills["vehicle"].items()}
    # Of three vehicles of one score the second has a box.
    assert vehicles == pytest.approx({"full": 1.0, "poor": 0.5})
    assert (report.stills["pedestrian"]["poor"].objects, report.stills["pedestrian"]["poor"].images) == (3, 3)
    assert report.together["vehicle"].objects == 4
    # Right, right, right, wrong, right, wrong: precision 1 up to three quarters of the objects, then 4 / 5.
    assert report.together["vehicle"].ap50 == pytest.approx((76 + 25 * 4 / 5) / 101)
    assert report.score == pytest.approx(np.mean([p.ap50 for p in report.together.values()]))
    assert report.values()["ap50/vehicle/full"] == 1


def test_what_is_not_labelled_or_ignored_is_no_fault(pipeline: Pipeline, blob_image: BlobImage, tmp_path: Path) -> None:
    ignored = write_stills(tmp_path / "ignored", blob_image, [["pedestrian", "bicycle", "vehicle"]] * 2)
    people = write_stills(tmp_path / "people", blob_image, [["pedestrian", "pedestrian"]], labelled=["pedestrian"])
    (people / "detected.json").write_text(
        '[{"image_id": 1, "category": "vehicle", "bbox": [100, 100, 50, 50], "score": 0.9}]'
    )
    report = validate(pipeline, load(ignored, people, people=SetConfig(absent=("vehicle",))))
    assert list(report.stills["vehicle"]) == ["ignored"]
    assert [p.ap50 for p in report.together.values()] == [1, 1]


def test_a_sequence_is_tracked_and_scored(pipeline: Pipeline, blob_folder: Path) -> None:
    truth = read_mot(blob_folder / "gt" / "gt.txt")
    write_mot(blob_folder / "gt" / "gt.txt", replace(truth, classes=np.where(truth.ids == 3, 3, 1)))
    report = validate(pipeline, load(blob_folder))
    scores = report.sequences["squares"]
    assert (scores.mota, scores.idf1, scores.objects) == (1.0, 1.0, 60)
    assert report.score == 1
    assert report.values() == {"score": 1, "mota/squares": 1, "idf1/squares": 1, "hota/squares": pytest.approx(1)}


def test_only_the_frames_and_classes_that_are_held_out_count(pipeline: Pipeline, blob_folder: Path) -> None:
    """Of the vehicle nothing is labelled, and frames 5 to 12 are wrong: trained on, they are not looked at."""
    truth = read_mot(blob_folder / "gt" / "gt.txt")
    wrong = (truth.frames >= 5) & (truth.frames <= 12)
    boxes = truth.boxes + 100 * wrong[:, None]
    write_mot(blob_folder / "gt" / "gt.txt", replace(truth, boxes=boxes)[truth.ids != 3])
    scores = validate(pipeline, load(blob_folder, squares=SetConfig(frames=(5, 12)))).sequences["squares"]
    assert (scores.mota, scores.objects, scores.predictions) == (1.0, 2 * 12, 2 * 12)
    assert scores.identities == 4, "both stretches begin afresh"
    assert validate(pipeline, load(blob_folder)).sequences["squares"].mota < 1


def test_a_picture_that_breaks_later_is_left_out_and_told(
    pipeline: Pipeline, blob_image: BlobImage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_stills(tmp_path / "set", blob_image, [["pedestrian", "pedestrian", "vehicle"]] * 2)
    held_out = load(folder)
    (folder / "2.png").write_bytes(b"no image")
    report = validate(pipeline, held_out)
    assert report.together["pedestrian"].images == 1 and report.together["pedestrian"].ap50 == 1
    assert "left out" in capsys.readouterr().err


def test_data_that_judge_nothing_are_refused(pipeline: Pipeline, blob_image: BlobImage, tmp_path: Path) -> None:
    folder = write_stills(tmp_path / "set", blob_image, [["pedestrian"]], labelled=[])
    with pytest.raises(ValueError, match="set: no object in a picture that is complete for its class"):
        validate(pipeline, load(folder))


def test_the_command_prints_tables_and_writes_json(
    blob_folder: Path, blob_image: BlobImage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, max_detections=5)
    checkpoints.save(tmp_path / "tiny.safetensors", build(model), model, QuasiDenseConfig(), {})
    write_stills(tmp_path / "stills", blob_image, [["pedestrian"]])
    (tmp_path / "recipe.yaml").write_text("model: {classes: [pedestrian]}\ndata: {sets: {squares: {frames: [1, 18]}}}")
    arguments = ["validate", "--weights", str(tmp_path / "tiny.safetensors"), "--config", str(tmp_path / "recipe.yaml")]
    arguments += ["--data", str(tmp_path / "stills"), str(blob_folder), "--json", str(tmp_path / "out" / "scores.json")]
    assert main([*arguments, "--runtime", "torch", "--threads", "1"]) == 0
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert content["sequences"]["squares"]["objects"] == 6
    assert ["squares", *(f"{100 * content['sequences']['squares'][k]:.2f}" for k in ("mota", "idf1", "hota"))] in [
        line[:4] for line in words
    ]
    ap50 = content["together"]["pedestrian"]["ap50"]
    assert ["together", "pedestrian", f"{100 * ap50:.2f}"] in [line[:3] for line in words]
    assert ["score", f"{100 * content['score']:.2f}"] in words
