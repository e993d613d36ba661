from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build
from qdtrack_model.runtimes.export import CacheError

CONFIG = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20, score_floor=0.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> checkpoints.Checkpoint:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(path, build(CONFIG), CONFIG, QuasiDenseConfig(), {})
    return checkpoints.load(path)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("QDTRACK_CACHE", str(folder))
    return folder


def test_onnxruntime_equals_torch(checkpoint: checkpoints.Checkpoint) -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), dtype=np.uint8)
    results = []
    for name in ("onnxruntime", "torch"):
        runtime = runtimes.load(checkpoint, name, threads=1)
        runtime.warm_up()
        results.append(runtime.infer(images))
        runtime.close()
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
    runtimes.load(checkpoint, "onnxruntime", threads=1).close()
    (graph,) = cache.glob("*.onnx")
    before = graph.stat().st_mtime_ns
    runtimes.load(checkpoint, "onnxruntime", threads=1).close()
    assert graph.stat().st_mtime_ns == before


def test_a_cache_that_cannot_be_written_is_named(
    checkpoint: checkpoints.Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match="set QDTRACK_CACHE to a folder that can be written"):
        runtimes.load(checkpoint, "onnxruntime")


def test_a_damaged_graph_in_the_cache_is_named(checkpoint: checkpoints.Checkpoint, cache: Path) -> None:
    runtimes.load(checkpoint, "onnxruntime", threads=1).close()
    (graph,) = cache.glob("*.onnx")
    whole = graph.read_bytes()
    graph.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(CacheError, match=r"\.onnx: cannot be loaded .*; remove it: it is exported again"):
            runtimes.load(checkpoint, "onnxruntime", threads=1)
    finally:
        graph.write_bytes(whole)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 64, 95, 3), np.uint8), np.zeros((64, 96, 3), np.uint8), np.zeros((1, 64, 96, 3))]
)
def test_images_of_another_shape_or_type_are_refused(checkpoint: checkpoints.Checkpoint, images: np.ndarray) -> None:
    runtime = runtimes.load(checkpoint, "torch", threads=1)
    with pytest.raises(ValueError, match=r"expected uint8 \(batch, 64, 96, 3\)"):
        runtime.infer(images)


def test_an_unknown_runtime_is_named(checkpoint: checkpoints.Checkpoint) -> None:
    with pytest.raises(ValueError, match="got 'tensorflow', expected auto or one of onnxruntime, torch"):
        runtimes.load(checkpoint, "tensorflow")


def test_auto_runs_here(checkpoint: checkpoints.Checkpoint) -> None:
    assert runtimes.load(checkpoint, "auto", threads=1).name == runtimes.choose()[0]
