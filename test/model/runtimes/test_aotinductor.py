"""What torch compiles for this machine's CPU computes what the eager network computes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build
from qdtrack_model.runtimes import Options, RuntimeUnavailable, aotinductor, cache

MISSING = aotinductor.missing()
CONFIG = OneShotConfig(input_size=(32, 64), width=0.125, max_detections=10, score_floor=0.0)
IMAGES = np.random.default_rng(0).integers(0, 255, (3, 32, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> checkpoints.Checkpoint:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(path, build(CONFIG), CONFIG, QuasiDenseConfig(), {})
    return checkpoints.load(path)


@pytest.fixture(autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "compiled"
    monkeypatch.setenv("QDTRACK_CACHE", str(folder))
    return folder


@pytest.mark.slow  # it compiles
@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.05)])
def test_compiled_equals_eager_and_is_compiled_once(
    checkpoint: checkpoints.Checkpoint, folder: Path, precision: str, tolerance: float
) -> None:
    # Three images by two: the last part is filled up.
    compiled = runtimes.load(checkpoint, Options("aotinductor", precision, threads=1, batch=2))
    compiled.warm_up()
    eager = runtimes.load(checkpoint, Options("torch", precision, threads=1))
    found, expected = compiled.infer(IMAGES), eager.infer(IMAGES)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other) == 10
        np.testing.assert_allclose(one.scores, other.scores, atol=tolerance)
        # Untrained scores nearly tie, so the order is free.
        nearest = np.abs(one.boxes[:, None] - other.boxes).max(axis=2).min(axis=1)
        assert (nearest < 100 * tolerance).sum() >= 8
    compiled.close()

    packages = {path: path.stat().st_mtime_ns for path in folder.glob("*.pt2")}
    runtimes.load(checkpoint, Options("aotinductor", precision, threads=1, batch=2)).close()
    assert packages == {path: path.stat().st_mtime_ns for path in folder.glob("*.pt2")} != {}
    manifest = cache.read_manifest(aotinductor.build(checkpoint, Options("aotinductor", precision, batch=2)))
    assert manifest is not None and manifest["identity"]["torch"] == torch.__version__
    assert (manifest["identity"]["precision"], manifest["identity"]["batch"]) == (precision, 2)


def test_every_part_of_the_machine_is_in_the_identity(
    checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = aotinductor.identity(checkpoint, "fp16", 1)
    monkeypatch.setattr(aotinductor.gpu, "find", lambda: aotinductor.gpu.Gpu("Orin", (8, 7), 12060))
    there = aotinductor.identity(checkpoint, "fp16", 1)
    assert here["device"] == "cpu"
    assert here["cpu"]
    assert there["device"] == "cuda"
    assert "Orin" in there.values()
    assert "8.7" in there.values()
    assert there != aotinductor.identity(checkpoint, "fp32", 1) != aotinductor.identity(checkpoint, "fp32", 2)


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_it_compiles_for_this_machine_alone(
    checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aotinductor.gpu, "find", lambda: None)
    with pytest.raises(ValueError, match=r"got 8\.9, AOTInductor compiles for the CPU where there is no GPU"):
        aotinductor.build(checkpoint, Options("aotinductor", "fp32"), "8.9")


def test_what_is_missing_is_named(checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RuntimeUnavailable, match=r"no C\+\+ compiler \(.*\): apt install g\+\+"):
        runtimes.load(checkpoint, Options("aotinductor"))


def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aotinductor.gpu, "find", lambda: aotinductor.gpu.Gpu("Orin", (8, 7), 12060))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert "cannot use the GPU: install a torch made for CUDA" in str(aotinductor.missing())


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_a_failed_compilation_is_one_clear_error(
    checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("\nCppCompileError: no space\nmore")

    before = set(folder.glob("*"))
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fail)
    with pytest.raises(
        RuntimeUnavailable, match=r"aotinductor cannot compile small\.safetensors: CppCompileError: no space$"
    ):
        runtimes.load(checkpoint, Options("aotinductor", threads=1, batch=3))
    assert {path.suffix for path in set(folder.glob("*")) - before} <= {".lock"}


def test_a_gpu_without_memory_is_one_clear_error(
    checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = runtimes.load(checkpoint, Options("torch", threads=1))

    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\n...")

    monkeypatch.setattr(runtime, "_call", fail)
    with pytest.raises(RuntimeUnavailable, match=r"torch: the GPU's memory is too small for 1 x 32x64 in fp32; take"):
        runtime.infer(IMAGES)
