"""What torch compiles for this machine's CPU computes what the eager network computes."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model import runtimes
from qdtrack_model.cache import read_manifest
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import Options, RuntimeUnavailable, aotinductor, gpu

from .comparison import assert_same

MISSING = aotinductor.missing()
IMAGES = np.random.default_rng(0).integers(0, 255, (3, 64, 96, 3), dtype=np.uint8)
GPU = gpu.Gpu("Orin", (8, 7), 12060, 16)
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\n...")


@pytest.mark.slow  # it compiles
@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.05)])
def test_compiled_equals_eager_and_is_compiled_once(checkpoint: Checkpoint, precision: str, tolerance: float) -> None:
    # Three images by two: the last part is filled up.
    options = Options("aotinductor", precision, threads=1, batch=2)
    compiled = runtimes.load(checkpoint, options)
    compiled.warm_up()
    eager = runtimes.load(checkpoint, Options("torch", precision, threads=1))
    found, expected = compiled.infer(IMAGES), eager.infer(IMAGES)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        # Untrained scores nearly tie: which is the last of the twenty is left open.
        assert_same(one, other, share=0.8, pixels=100 * tolerance, score=tolerance, embedding=10 * tolerance)
    compiled.close()

    package = aotinductor.build(checkpoint, options)
    compiled_at = package.stat().st_mtime_ns
    runtimes.load(checkpoint, options).close()
    assert package.stat().st_mtime_ns == compiled_at
    manifest = read_manifest(package)
    assert manifest is not None and manifest["identity"]["torch"] == torch.__version__
    assert (manifest["identity"]["precision"], manifest["identity"]["batch"]) == (precision, 2)


def test_every_part_of_the_machine_is_in_the_identity(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find", lambda: None)
    here = aotinductor.identity(checkpoint, "fp16", 1)
    monkeypatch.setattr(gpu, "find", lambda: GPU)
    there = aotinductor.identity(checkpoint, "fp16", 1)
    assert here["device"] == "cpu"
    assert here["cpu"]
    assert there["device"] == "cuda"
    assert "Orin" in there.values()
    assert "8.7" in there.values()
    assert there != aotinductor.identity(checkpoint, "fp32", 1) != aotinductor.identity(checkpoint, "fp32", 2)


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_it_compiles_for_this_machine_alone(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find", lambda: None)
    with pytest.raises(ValueError, match=r"got 8\.9, AOTInductor compiles for the CPU where there is no GPU"):
        aotinductor.build(checkpoint, Options("aotinductor", "fp32"), "8.9")


def test_what_is_missing_is_named(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RuntimeUnavailable, match=r"no C\+\+ compiler \(.*\): apt install g\+\+"):
        runtimes.load(checkpoint, Options("aotinductor"))


@pytest.mark.parametrize("runtime", ["torch", "aotinductor"])
def test_a_gpu_that_torch_cannot_use_is_named(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setattr(gpu, "find", lambda: GPU)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeUnavailable, match="cannot use the GPU: install a torch made for CUDA"):
        runtimes.load(checkpoint, Options(runtime))


@pytest.mark.parametrize(
    ("triton", "toolkit", "message"),
    [
        (None, True, "triton is not installed, which torch compiles for the GPU with"),
        (object(), False, "no CUDA toolkit, whose headers torch compiles with: install it, or name its folder in CUDA"),
        (object(), True, "None"),
    ],
    ids=["no triton", "no toolkit", "complete"],
)
def test_what_compiling_for_a_gpu_takes_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, triton: object, toolkit: bool, message: str
) -> None:
    if toolkit:
        (tmp_path / "include").mkdir()
        (tmp_path / "include" / "cuda.h").touch()
    monkeypatch.setattr(gpu, "find", lambda: GPU)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", str(tmp_path))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: triton if name == "triton" else find(name))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert message in str(aotinductor.missing())


def test_a_torch_that_cannot_be_recorded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find", lambda: GPU)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", "2.6.0+cu124")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert str(aotinductor.missing()).endswith('as a CUDA graph: pip install "torch>=2.7"')


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("\nCppCompileError: no space\nmore"), "CppCompileError: no space"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\n..."),
            "the GPU's memory is too small;",
        ),
    ],
    ids=["compiler", "memory"],
)
def test_a_failed_compilation_is_one_clear_error(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, own_cache: Path, error: Exception, reason: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fail)
    with pytest.raises(
        RuntimeUnavailable, match=rf"^aotinductor cannot compile small\.safetensors: {reason}"
    ) as caught:
        runtimes.load(checkpoint, Options("aotinductor", threads=1, batch=3))
    assert "\n" not in str(caught.value)
    assert {path.suffix for path in own_cache.iterdir()} <= {".lock"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\n..."),
            "the GPU's memory is too small; take",
        ),
        (
            torch.AcceleratorError("CUDA error: no kernel image is available\nmore"),
            "CUDA error: no kernel image is available$",
        ),
    ],
    ids=["memory", "GPU too old"],
)
def test_a_fault_of_the_gpu_is_one_clear_error(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    runtime = runtimes.load(checkpoint, Options("torch", threads=1))

    def fail() -> None:
        raise error

    monkeypatch.setattr(runtime, "_call", fail)
    with pytest.raises(RuntimeUnavailable, match=f"^torch, 1x64x96x3 in fp32: {reason}"):
        runtime.infer(IMAGES)


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_it_builds_nothing_portable(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match=r"^portable: AOTInductor compiles for the GPU or the CPU here, and no other"):
        runtimes.build(checkpoint, Options("aotinductor", portable=True))
    with pytest.raises(ValueError, match=r"^optimization level: AOTInductor has none"):
        runtimes.build(checkpoint, Options("aotinductor", optimization_level=5))
