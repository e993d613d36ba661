"""``benchmarks/runtimes.py`` on a tiny network: what it writes, not how fast."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build
from qdtrack_model.runtimes.graph import graph_of
from qdtrack_model.structures import Detections

MODEL = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=8, score_floor=0.0)


@pytest.fixture(scope="module")
def measuring(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """``benchmarks/runtimes.py``."""
    return benchmark("runtimes")


@pytest.mark.slow
def test_one_run_writes_both_files(measuring: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "tiny.safetensors"
    checkpoints.save(weights, build(MODEL), MODEL, QuasiDenseConfig(), {})
    command = ["--models", str(weights), "--runtimes", "torch", "onnxruntime", "onnxruntime:fp16", "--threads", "1"]
    command += ["--rounds", "2", "--size", "32x64", "--batch", "2", "--numerics", "--profile"]
    files = ["--markdown", str(tmp_path / "table.md"), "--json", str(tmp_path / "figures.json")]
    assert measuring.main([*command, *files]) == 0

    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["peak"].keys() == {"fp32", "copy"}
    torch_row, onnx_row = report["rows"]
    assert (torch_row["runtime"], onnx_row["runtime"]) == ("torch", "onnxruntime")
    for row in report["rows"]:
        assert (row["size"], row["batch"], row["precision"]) == ([32, 64], 2, "fp32")
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["images_per_second"] == pytest.approx(2e3 / row["p50_ms"])
        assert row["vs_torch"] == pytest.approx(torch_row["p50_ms"] / row["p50_ms"])
        # Peaks are measured where torch computes: on a GPU, where ONNX Runtime is not.
        assert ("floor_ms" in row) == (row["runtime"] == "torch" or not torch.cuda.is_available())
        if "floor_ms" in row:
            assert row["floor_share"] == pytest.approx(row["floor_ms"] / row["p50_ms"])
            assert row["gflop"] > 0.01
        assert row["first_frame_s"] > 0
        matched, expected = row["matched"].split(" of ")
        assert matched == expected
        assert row["box_error"] < 0.01
        assert row["score_error"] < 1e-4
    # The profiler sees torch alone: on a CPU its operations, on a GPU kernels, whose names are its library's.
    costs = torch_row["costs"]
    assert len(costs) > 3 and costs[-1]["name"] == "not seen"
    assert torch.cuda.is_available() or any("convolution" in cost["name"] for cost in costs)
    assert sum(cost["share"] for cost in costs) == pytest.approx(1, abs=0.01)
    assert onnx_row["costs"] == []

    table = (tmp_path / "table.md").read_text()
    assert f"**{weights}**, 32x64, batch 2" in table
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len(lines) == 4 + 2 + len(costs)
    assert len({line.count("|") for line in lines}) == 2
    assert f"{weights} by torch fp32:" in table
    printed = capsys.readouterr().out
    assert table in printed
    assert f"left out: {weights}, onnxruntime fp16: precision: onnxruntime has no fp16" in printed


def test_graphs_are_measured_in_their_own_precision(
    measuring: ModuleType, checkpoint: checkpoints.Checkpoint, tmp_path: Path
) -> None:
    graph = measuring.open_model(str(graph_of(checkpoint, "bf16")), tmp_path, (32, 64))
    assert graph.config == checkpoint.config
    names = ["openvino", "onnxruntime:fp32"]
    assert measuring.wanted(names, graph) == [("openvino", "bf16"), ("onnxruntime", "fp32")]
    assert measuring.wanted(names, checkpoint) == [("openvino", "fp32"), ("onnxruntime", "fp32")]


def test_deviation_is_over_matched_detections_alone(measuring: ModuleType) -> None:
    def detections(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Detections:
        return Detections(np.array(boxes), np.array(scores), np.array(labels), np.empty((len(boxes), 0)))

    expected = detections([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0.9, 0.8, 0.7], [0, 0, 1])
    found = detections([[20, 0, 31, 10], [0, 0, 10, 10.5], [40, 0, 50, 10]], [0.78, 0.9, 0.7], [0, 0, 0])
    deviation = measuring.deviation([found], [expected])
    assert deviation["matched"] == "2 of 3"
    assert deviation["box_error"] == 1.0
    assert deviation["score_error"] == pytest.approx(0.02, abs=1e-6)
    none = detections([], [], [])
    assert measuring.deviation([none], [expected])["matched"] == "0 of 3"


def test_the_work_of_a_network_is_that_of_its_layers(measuring: ModuleType, tmp_path: Path) -> None:
    config = OneShotConfig(input_size=(32, 64), width=0.125, max_detections=10)
    checkpoints.save(tmp_path / "small.safetensors", build(config), config, QuasiDenseConfig(), {})
    checkpoint = checkpoints.load(tmp_path / "small.safetensors")
    one, four = (measuring.work_of(checkpoint, np.zeros((b, 32, 64, 3), np.uint8)) for b in (1, 4))
    assert four[0] == pytest.approx(4 * one[0], rel=0.01)
    assert one[1] > sum(x.numel() for x in checkpoint.network().parameters() if x.ndim == 4)
    assert one[1] < four[1] < 4 * one[1]


@pytest.mark.parametrize(("gpu", "calls"), [(None, 1), ("H200", 10)])
def test_a_gpu_is_measured_awake(
    measuring: ModuleType, monkeypatch: pytest.MonkeyPatch, gpu: str | None, calls: int
) -> None:
    made = []
    monkeypatch.setattr(measuring.gpu, "find", lambda: gpu)
    assert len(measuring.seconds_of(lambda: made.append(1))) == calls
    assert len(made) == calls + (gpu is not None)


def test_ratios_are_of_one_precision_where_they_can_be(measuring: ModuleType) -> None:
    def worker(runtime: str, precision: str, seconds: float) -> SimpleNamespace:
        job = {"model": "mot17", "runtime": runtime, "precision": precision, "size": [64, 96], "batch": 1}
        return SimpleNamespace(job=job, seconds=[seconds], facts={})

    workers = [worker("torch", "fp32", 0.8), worker("torch", "fp16", 0.4), worker("aotinductor", "fp16", 0.1)]
    workers.append(worker("openvino", "bf16", 0.2))
    rows = [measuring.row_of(one, workers, (10**9, 10**6), {"fp32": 10**12, "copy": 10**9}) for one in workers]
    assert [row["vs_torch"] for row in rows] == [pytest.approx(ratio) for ratio in (1, 1, 4, 4)]
    assert [row.get("floor_ms") for row in rows] == [pytest.approx(4), None, None, None]
