from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import Options, RuntimeUnavailable
from qdtrack_model.runtimes.graph import GraphError, graph_of
from qdtrack_model.runtimes.interface import usable_cores

from .comparison import assert_same

GPU = runtimes.gpu.Gpu("NVIDIA Any", (8, 9), 13000, 128)
IMAGES = np.random.default_rng(0).integers(0, 255, (3, 64, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize("batch", [1, 2], ids="batch {}".format)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_fp32_on_the_cpu_equals_torch(checkpoint: Checkpoint, runtime: str, batch: int) -> None:
    if (missing := runtimes.module_of(runtime).missing()) is not None:
        pytest.skip(missing)
    results = []
    for options in (Options(runtime, threads=1, batch=batch), Options("torch", threads=1)):
        loaded = runtimes.load(checkpoint, options)
        loaded.warm_up()
        results.append(loaded.infer(IMAGES))
        loaded.close()
    assert len(results[0]) == len(results[1]) == 3
    for found, expected in zip(*results, strict=True):
        # Untrained scores nearly tie: which is the last of the twenty is left open.
        assert_same(found, expected, share=0.9, pixels=0.01, score=1e-5, embedding=1e-4)


def test_the_graph_is_exported_once(checkpoint: Checkpoint, cache: Path) -> None:
    graph = graph_of(checkpoint)
    exported_at = graph.stat().st_mtime_ns
    runtimes.load(checkpoint, Options("onnxruntime", threads=1)).close()
    assert graph.parent == cache and graph.stat().st_mtime_ns == exported_at


def test_a_graph_that_onnxruntime_cannot_load_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    # Well described, but with an operation that nobody knows.
    import onnx

    model = onnx.load(graph_of(checkpoint))
    model.graph.node[0].op_type = "Levitate"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(GraphError, match=r"odd\.onnx: ONNX Runtime cannot load it: .*Levitate"):
        runtimes.load(checkpoints.load(tmp_path / "odd.onnx"), Options("onnxruntime"))


@pytest.mark.parametrize(
    "images", [np.zeros((1, 64, 95, 3), np.uint8), np.zeros((64, 96, 3), np.uint8), np.zeros((1, 64, 96, 3))]
)
def test_images_of_another_shape_or_type_are_refused(checkpoint: Checkpoint, images: np.ndarray) -> None:
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


def test_threads_are_those_asked_for_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert (Options(threads=5).cores, Options().cores) == (5, 3)
    for odd in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", odd)
        assert Options().cores == usable_cores()


def test_a_precision_that_a_runtime_does_not_have_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="onnxruntime has no fp16, expected auto or one of fp32"):
        runtimes.load(checkpoint, Options("onnxruntime", "fp16"))


def test_auto_runs_here(checkpoint: Checkpoint) -> None:
    assert (
        runtimes.load(checkpoint, Options("auto", "fp32", threads=1)).name
        == runtimes.choose(checkpoint, "fp32").runtime
    )


def test_auto_says_what_it_took_and_why(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: None)
    for name in ("openvino", "onnxruntime"):
        monkeypatch.setattr(runtimes.module_of(name), "missing", lambda name=name: f"pip install {name}")
    monkeypatch.setattr(runtimes.openvino, "flags", lambda: frozenset({"amx_bf16"}))
    with caplog.at_level(logging.INFO):
        assert runtimes.load(checkpoint, Options(threads=1)).name == "torch"
    assert "torch: no GPU; not openvino: pip install openvino; not onnxruntime: pip install onnxruntime" in caplog.text


def test_what_is_missing_ends_the_loading_unless_told_otherwise(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: None)
    monkeypatch.setattr(runtimes.module_of("onnxruntime"), "missing", lambda: "onnxruntime is not installed")
    monkeypatch.setattr(runtimes.openvino, "flags", frozenset)  # no bfloat16
    with pytest.raises(RuntimeUnavailable, match="onnxruntime is not installed"):
        runtimes.load(checkpoint, Options("onnxruntime"))
    assert runtimes.load(checkpoint, Options("onnxruntime", threads=1, fallback=True)).name == "torch"
    assert "onnxruntime cannot be used (onnxruntime is not installed): falling back to torch" in caplog.text


def test_a_gpu_that_nothing_here_can_use_leaves_the_cpu_and_says_what_it_would_need(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: GPU)
    for name in runtimes.ON_GPU:
        monkeypatch.setattr(runtimes.module_of(name), "missing", lambda name=name: f"no {name}")
    monkeypatch.setattr(runtimes.openvino, "flags", frozenset)  # no bfloat16
    with caplog.at_level(logging.INFO):
        assert runtimes.load(checkpoint, Options(threads=1)).name == "onnxruntime"
    assert "runtime onnxruntime: GPU NVIDIA Any; not tensorrt: no tensorrt; not tensorrt_rtx: no " in caplog.text
    assert runtimes.default_weights() == "street"
    with pytest.raises(RuntimeUnavailable, match="no torch"):
        runtimes.load(checkpoint, Options("torch"))


@pytest.mark.parametrize(
    ("found", "runtime", "expected"),
    [
        (None, "auto", "street"),
        (GPU, "auto", "street_qdtrack"),
        (GPU, "tensorrt", "street_qdtrack"),
        (GPU, "onnxruntime", "street"),
    ],
)
def test_the_default_weights_suit_machine_and_runtime(
    found: runtimes.gpu.Gpu | None, runtime: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: found)
    monkeypatch.setattr(runtimes.module_of("tensorrt"), "missing", lambda: None)
    assert runtimes.default_weights(runtime) == expected
    assert expected in checkpoints.SHIPPED


def test_memory_is_told_after_warm_up(checkpoint: Checkpoint) -> None:
    runtime = runtimes.load(checkpoint, Options("torch", threads=1))
    runtime.warm_up()
    assert runtime.memory >= 0
