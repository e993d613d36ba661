"""Boxes of a file with the network's embeddings: those that the network itself gives the same boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints, tracking
from qdtrack_model.cli import main
from qdtrack_model.config import QDTrackConfig, QuasiDenseConfig
from qdtrack_model.data.readers.mot import MotBoxes, MotError, read_mot, write_mot
from qdtrack_model.data.sources import Frame
from qdtrack_model.given_detections import GivenDetections
from qdtrack_model.networks import build
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.runtimes.torch import TorchRuntime
from qdtrack_model.structures import Array


@pytest.fixture
def runtime(checkpoint: checkpoints.Checkpoint) -> TorchRuntime:
    return TorchRuntime(checkpoint, Options("torch", "fp32", threads=1))


def write(path: Path, boxes: list[list[float]], classes: list[int] | None = None) -> Path:
    count = len(boxes)
    scores, kinds = np.linspace(0.9, 0.5, count), np.array(classes or [-1] * count)
    write_mot(path, MotBoxes(np.ones(count), np.full(count, -1), np.array(boxes), scores, kinds, np.full(count, -1)))
    return path


def test_embeddings_are_those_of_the_networks_own_boxes(
    tmp_path: Path, blob_image: Callable[..., tuple[Array, Array]]
) -> None:
    config = QDTrackConfig(
        ("pedestrian",), input_size=(64, 96), depth=18, style="pytorch", channels=32, head_width=32, embedding_size=16,
        proposals_per_level=20, proposals=20, max_detections=10, score_floor=0.0, proposal_overlap=0.95,
        detection_overlap=0.95,
    )  # fmt: skip
    torch.manual_seed(0)
    checkpoints.save(tmp_path / "qdtrack.safetensors", build(config), config, QuasiDenseConfig(), {})
    runtime = TorchRuntime(checkpoints.load(tmp_path / "qdtrack.safetensors"), Options("torch", "fp32", threads=1))
    image, _ = blob_image(3)
    [own] = Pipeline(runtime, tracking.build(QuasiDenseConfig())).detect([image])
    given = GivenDetections(write(tmp_path / "det.txt", own.boxes.tolist()), runtime)
    found = given(Frame(1, 0.0, image))
    assert len(found) == len(own) > 1
    np.testing.assert_allclose(found.boxes, own.boxes, atol=2e-3)
    np.testing.assert_allclose(found.scores, np.linspace(0.9, 0.5, len(own)), atol=1e-4)
    np.testing.assert_allclose(found.embeddings, own.embeddings, atol=1e-3)
    assert np.abs(own.embeddings - own.embeddings[0]).max() > 5e-3, "embeddings of different boxes differ"
    assert len(given(Frame(2, 0.1, image))) == 0


def test_classes_and_boxes_outside_the_image(runtime: TorchRuntime, tmp_path: Path) -> None:
    boxes = [[1.0, 1, 20, 40], [2, 2, 30, 30], [-50, 0, -5, 20], [3, 3, 9, 9]]
    image = np.zeros((60, 80, 3), np.uint8)
    named = GivenDetections(write(tmp_path / "a.txt", boxes, [3, 1, 1, 8]), runtime)(Frame(1, 0.0, image))
    assert named.labels.tolist() == [1, 0], "vehicle, pedestrian; one is outside, another of no class"
    assert named.boxes[0].tolist() == [1, 1, 20, 40]
    unnamed = GivenDetections(write(tmp_path / "b.txt", boxes), runtime)(Frame(1, 0.0, image))
    assert unnamed.labels.tolist() == [0, 0, 0]
    with pytest.raises(MotError, match=r"no box of class pedestrian \(1\), vehicle \(3\)"):
        GivenDetections(write(tmp_path / "c.txt", boxes, [8] * 4), runtime)


def test_boxes_are_followed_as_they_stand(
    checkpoint: checkpoints.Checkpoint, blob_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = read_mot(blob_folder / "gt" / "gt.txt")
    write_mot(blob_folder / "det.txt", truth)
    output = tmp_path / "tracks.txt"
    command = ["track", str(blob_folder), "--weights", str(checkpoint.path), "--output", str(output)]
    command += ["--runtime", "torch", "--threads", "1"]
    assert main([*command, "--detections", str(blob_folder / "det.txt")]) == 0
    found = read_mot(output)
    assert len(found) > 0
    for frame in np.unique(found.frames):
        boxes = truth.boxes[truth.frames == frame]
        for box in found.boxes[found.frames == frame]:
            assert np.abs(boxes - box).max(axis=1).min() < 1e-3
    assert main([*command, "--detections", str(blob_folder / "det.txt"), "--runtime", "onnxruntime"]) == 2
    assert "--detections is for --runtime torch alone, got onnxruntime" in capsys.readouterr().err
