"""``qdtrack export``: what it writes and says, and one clear line for everything that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints, cli
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.commands.export import CALIBRATED, _calibration_images
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.data.sources import open_source
from qdtrack_model.networks import build
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.runtimes.graph import graph_of

CONFIG = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=8, score_floor=0.0)
# An untrained network is sure of nothing: everything it finds is tracked.
TRACKER = QuasiDenseConfig(init_score=0.0, object_score=0.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(path, build(CONFIG), CONFIG, TRACKER, {})
    return checkpoints.load(path)


def test_a_graph_of_another_size_and_batch(
    weights: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "small.onnx"
    command = ["export", str(weights.path), "--output", str(output), "--size", "96x128", "--batch", "2"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "fp32, 2 x 96 x 128 x 3 uint8 BGR" in printed and "MB" in printed and weights.digest in printed
    assert "\nruntimes: onnxruntime, openvino, tensorrt, tensorrt_rtx\n" in printed
    graph = checkpoints.load(output)
    assert graph.config.input_size == (96, 128)
    assert graph.graph == checkpoints.Graph("fp32", 2, weights.digest)
    pipeline = Pipeline.load(output, Options("onnxruntime", threads=1, batch=2))
    assert len(pipeline.process(np.zeros((200, 300, 3), np.uint8), 0.0)) > 0


def test_it_says_what_runs_a_graph_in_half_precision(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "graph.onnx"
    assert cli.main(["export", str(checkpoint.path), "--output", str(output), "--precision", "fp16"]) == 0
    assert "\nruntimes: tensorrt, tensorrt_rtx (on a GPU alone)\n" in capsys.readouterr().out
    assert checkpoints.load(output).graph == checkpoints.Graph("fp16", 1, checkpoint.digest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--output", "a.onnx"], "neither a file nor a name that `qdtrack weights` lists"),
        (["WEIGHTS", "--output", "a.engine"], "expected a file that ends in .onnx"),
        (["WEIGHTS", "--output", "no/a.onnx"], "the folder no does not exist"),
        (["GRAPH", "--output", "a.onnx"], "is an exported graph already; give the weights"),
        (["WEIGHTS", "--output", "a.onnx", "--size", "32x8192"], "input_size: got (32, 8192), expected"),
        (["WEIGHTS", "--output", "a.onnx", "--precision", "int8"], "int8 needs --calibration"),
        (
            ["WEIGHTS", "--output", "a.onnx", "--frames", "1-2"],
            "--frames is for --precision int8 or int8-fp16, got --precision fp32",
        ),
        (["WEIGHTS", "--output", "a.onnx", "--precision", "int8", "--calibration", "no"], "no such file or folder"),
    ],
)
def test_what_cannot_be_is_one_line(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    named = {"WEIGHTS": str(checkpoint.path)} | ({"GRAPH": str(graph_of(checkpoint))} if "GRAPH" in arguments else {})
    assert cli.main(["export", *(named.get(argument, argument) for argument in arguments)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("qdtrack: error: ") and message in error[0]
    assert not Path("a.onnx").exists()


@pytest.mark.parametrize(("size", "message"), [("384", "expected HxW such as"), ("100x64", "expected multiples of 32")])
def test_a_bad_size_is_named(size: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["export", "street", "--output", "a.onnx", "--size", size])
    assert f"got '{size}'" in (error := capsys.readouterr().err) and message in error


def test_int8_is_written_where_it_tracks_well_enough_alone(
    weights: Checkpoint, blob_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (blob_folder / "gt" / "gt.txt").unlink()
    output = tmp_path / "int8.onnx"
    command = ["export", str(weights.path), "--output", str(output), "--precision", "int8", "--frames", "3-9"]
    command += ["--calibration", str(blob_folder)]
    # Untrained scores nearly tie, and rounding decides what is tracked: far from the tracks of fp32.
    assert cli.main([*command, "--tolerance", "0"]) == 2
    error = capsys.readouterr().err
    assert "int8 loses more than 0 points against the tracks of fp32 (MOTA " in error and ", IDF1 " in error
    assert [path.name for path in tmp_path.iterdir()] == [blob_folder.name]

    assert cli.main([*command, "--tolerance", "1000"]) == 0
    printed = capsys.readouterr().out
    assert "against the tracks of fp32" in printed
    assert "\nruntimes: onnxruntime, openvino\n" in printed
    report = json.loads((tmp_path / "int8.onnx.json").read_text())
    assert report["calibration"]["frames"] == [3, 4, 5, 6, 7, 8, 9] and report["tracked_frames"] == [3, 9]
    assert report["fp32"] is None and report["loss"]["MOTA"] > 0 and report["weights"] == weights.digest
    graph = checkpoints.load(output).graph
    assert graph == checkpoints.Graph("int8", 1, weights.digest)


def test_with_ground_truth_both_are_scored(
    weights: Checkpoint, blob_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "int8.onnx"
    command = ["export", str(weights.path), "--output", str(output), "--precision", "int8-fp16"]
    assert cli.main([*command, "--calibration", str(blob_folder), "--tolerance", "1000"]) == 0
    printed = capsys.readouterr().out
    assert "\nfp32 " in printed and "\nint8 " in printed and "gt.txt" in printed
    assert "\nruntimes: tensorrt, tensorrt_rtx (on a GPU alone)\n" in printed
    report = json.loads((tmp_path / "int8.onnx.json").read_text())
    assert report["fp32"]["objects"] == report["int8"]["objects"] == 60
    assert report["precision"] == "int8-fp16"
    assert checkpoints.load(output).graph == checkpoints.Graph("int8-fp16", 1, weights.digest)


def test_calibration_images_are_spread_evenly(tmp_path: Path) -> None:
    import argparse

    import cv2

    for number in range(1, CALIBRATED + 7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    assert open_source(tmp_path).length == CALIBRATED + 6
    args = argparse.Namespace(calibration=tmp_path, topic=None, frames=None)
    used, images = _calibration_images(args, OneShotConfig(input_size=(64, 64)))
    assert used == list(range(1, CALIBRATED + 7, 2))
    assert images[:, 0, 0, 0].tolist() == used
