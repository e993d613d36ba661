from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.config import OneShotConfig
from qdtrack_model.runtimes import Options, RuntimeUnavailable
from qdtrack_model.runtimes.export import GraphError, export_onnx

CONFIG = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20, score_floor=0.0)
IMAGES = np.random.default_rng(0).integers(0, 255, (3, 64, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize("batch", [1, 2], ids="batch {}".format)
def test_onnxruntime_equals_torch(checkpoint: checkpoints.Checkpoint, batch: int) -> None:
    results = []
    for options in (Options("onnxruntime", threads=1, batch=batch), Options("torch", threads=1)):
        runtime = runtimes.load(checkpoint, options)
        runtime.warm_up()
        results.append(runtime.infer(IMAGES))
        runtime.close()
    assert len(results[0]) == len(results[1]) == 3
    for first, second in zip(*results, strict=True):
        assert len(first) == len(second) == 20
        # Untrained scores nearly tie, so the order is free, and which is the last of the twenty.
        distances = np.abs(first.boxes[:, None] - second.boxes).max(axis=2)
        rows, columns = np.nonzero(distances < 0.01)
        assert len(set(rows)) >= 18
        np.testing.assert_allclose(first.scores[rows], second.scores[columns], atol=1e-5)
        np.testing.assert_array_equal(first.labels[rows], second.labels[columns])
        np.testing.assert_allclose(first.embeddings[rows], second.embeddings[columns], atol=1e-4)


def test_the_graph_is_exported_once(checkpoint: checkpoints.Checkpoint, cache: Path) -> None:
    options = Options("onnxruntime", threads=1)
    runtimes.load(checkpoint, options).close()
    before = {graph: graph.stat().st_mtime_ns for graph in cache.glob("*.onnx")}
    runtimes.load(checkpoint, options).close()
    assert before == {graph: graph.stat().st_mtime_ns for graph in cache.glob("*.onnx")} != {}


def test_a_graph_that_onnxruntime_cannot_load_is_named(checkpoint: checkpoints.Checkpoint, tmp_path: Path) -> None:
    # Well described, but with an operation that nobody knows.
    import onnx

    export_onnx(checkpoint, tmp_path / "odd.onnx")
    model = onnx.load(tmp_path / "odd.onnx")
    model.graph.node[0].op_type = "Levitate"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(GraphError, match=r"odd\.onnx: ONNX Runtime cannot load it: .*Levitate"):
        runtimes.load(checkpoints.load(tmp_path / "odd.onnx"), Options("onnxruntime"))


@pytest.mark.parametrize(
    "images", [np.zeros((1, 64, 95, 3), np.uint8), np.zeros((64, 96, 3), np.uint8), np.zeros((1, 64, 96, 3))]
)
def test_images_of_another_shape_or_type_are_refused(checkpoint: checkpoints.Checkpoint, images: np.ndarray) -> None:
    runtime = runtimes.load(checkpoint, Options("torch", threads=1))
    with pytest.raises(ValueError, match=r"expected uint8 \(batch, 64, 96, 3\)"):
        runtime.infer(images)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runtime": "tensorflow"}, "got 'tensorflow', expected auto or one of .*onnxruntime"),
        ({"precision": "fp8"}, "got 'fp8', expected auto or one of fp32, fp16"),
        ({"threads": 0}, "threads: got 0"),
        ({"batch": 0}, "batch: got 0"),
    ],
)
def test_bad_options_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(**values)  # type: ignore[arg-type]


def test_a_precision_that_a_runtime_does_not_have_is_named(checkpoint: checkpoints.Checkpoint) -> None:
    with pytest.raises(ValueError, match="onnxruntime has no fp16, expected auto or one of fp32"):
        runtimes.load(checkpoint, Options("onnxruntime", "fp16"))


def test_auto_runs_here(checkpoint: checkpoints.Checkpoint) -> None:
    assert runtimes.load(checkpoint, Options(threads=1)).name == runtimes.choose(checkpoint)[0]


def test_auto_says_what_it_took_and_why(
    checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: None)
    monkeypatch.setattr(runtimes.module_of("onnxruntime"), "missing", lambda: "onnxruntime is not installed: pip ...")
    with caplog.at_level(logging.INFO):
        assert runtimes.load(checkpoint, Options(threads=1)).name == "torch"
    assert "runtime torch: no GPU; not onnxruntime: onnxruntime is not installed: pip ..." in caplog.text


def test_what_is_missing_ends_the_loading_unless_told_otherwise(
    checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: None)
    monkeypatch.setattr(runtimes.module_of("onnxruntime"), "missing", lambda: "onnxruntime is not installed")
    with pytest.raises(RuntimeUnavailable, match="onnxruntime is not installed"):
        runtimes.load(checkpoint, Options("onnxruntime"))
    assert runtimes.load(checkpoint, Options("onnxruntime", threads=1, fallback=True)).name == "torch"
    assert "onnxruntime cannot be used (onnxruntime is not installed): falling back to torch" in caplog.text


@pytest.mark.parametrize(
    ("found", "expected"), [(None, "street"), (runtimes.gpu.Gpu("NVIDIA Any", (8, 9), 13000), "street_qdtrack")]
)
def test_the_default_weights_suit_the_machine(
    found: runtimes.gpu.Gpu | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: found)
    assert runtimes.default_weights() == expected
    assert expected in checkpoints.SHIPPED


def test_memory_is_told_after_warm_up(checkpoint: checkpoints.Checkpoint) -> None:
    runtime = runtimes.load(checkpoint, Options("torch", threads=1))
    runtime.warm_up()
    assert runtime.memory >= 0
