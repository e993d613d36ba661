"""Engines for many GPUs: which one a robot takes, and that they are built as such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qdtrack_model import cli, runtimes
from qdtrack_model.cache import read_manifest
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import Options, engine, engine_builder, gpu, tensorrt, tensorrt_rtx
from qdtrack_model.runtimes.engine_builder import EngineError, UnfitEngine, build_engine, import_package, lacking
from qdtrack_model.runtimes.graph import graph_of
from qdtrack_model.runtimes.interface import release

needs_tensorrt_rtx = pytest.mark.skipif(lacking("tensorrt_rtx", "x") is not None, reason=tensorrt_rtx.INSTALL)
without_gpu = pytest.mark.skipif(gpu.find() is not None, reason="about machines without a GPU")


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, gpu.Gpu], None]:
    """What makes this a robot with a version of TensorRT and a GPU; engines hold what they were built with."""

    def make(version: str, found: gpu.Gpu) -> None:
        package = SimpleNamespace(__name__="tensorrt", __version__=version)
        monkeypatch.setattr(tensorrt, "import_package", lambda _: package)
        monkeypatch.setattr(gpu, "find", lambda: found)

    def build(trt: Any, graph: Path, path: Path, capabilities: Any, progress: bool, options: Options) -> None:
        path.write_text(f"{trt.__version__} {gpu.find()}{' portable' if options.portable else ''}")

    def run(
        trt: Any, path: Path, checkpoint: Checkpoint, options: Options, host_code: bool = False
    ) -> tuple[str, bool]:
        built = path.read_text()
        if release(built) > release(trt.__version__):
            raise UnfitEngine(f"{path.name}: tensorrt {trt.__version__} cannot load this engine: a later version")
        return built, host_code

    monkeypatch.setattr(tensorrt, "lacking", lambda *_: None)
    monkeypatch.setattr(tensorrt.stream, "check", lambda: None)
    monkeypatch.setattr(engine_builder, "build_engine", build)
    monkeypatch.setattr(engine, "EngineRuntime", run)
    return make


ORIN, THOR = gpu.Gpu("Orin", (8, 7), 12060, 16), gpu.Gpu("Thor", (11, 0), 13000, 20)


def test_a_portable_engine_serves_other_gpus_and_later_versions(
    checkpoint: Checkpoint, own_cache: Path, robot: Callable[[str, gpu.Gpu], None]
) -> None:
    robot("10.3.0", ORIN)
    options = Options("tensorrt", "fp16")
    path, _ = runtimes.build(checkpoint, replace(options, portable=True))
    manifest = read_manifest(path)
    assert manifest is not None and manifest["identity"]["gpus"] == "compute capability 8.0 or newer"
    for version, found in (("10.3.0", ORIN), ("10.16.1", THOR)):
        robot(version, found)
        assert tensorrt.load(checkpoint, options) == (path.read_text(), True)
    own, _ = runtimes.build(checkpoint, options)  # which is faster
    assert tensorrt.load(checkpoint, options) == (own.read_text(), False) and "Thor" in own.read_text()
    robot("11.0.0", THOR)
    assert tensorrt.load(checkpoint, options) == (f"11.0.0 {THOR}", False)


def test_a_portable_engine_of_a_later_version_is_left(
    checkpoint: Checkpoint, own_cache: Path, robot: Callable[[str, gpu.Gpu], None], caplog: pytest.LogCaptureFixture
) -> None:
    robot("10.9.0", ORIN)
    runtimes.build(checkpoint, Options("tensorrt", "fp16", portable=True))
    robot("10.3.0", ORIN)
    assert tensorrt.load(checkpoint, Options("tensorrt", "fp16")) == (f"10.3.0 {ORIN}", False)
    assert "cannot load this engine: a later version; one for this GPU is taken instead" in caplog.text


@needs_tensorrt_rtx
def test_a_portable_engine_of_rtx_is_for_all_its_gpus(
    checkpoint: Checkpoint, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cuda.bindings", reason=tensorrt_rtx.INSTALL)
    options = Options("tensorrt_rtx", "fp16", portable=True)
    path, _ = runtimes.build(checkpoint, options)
    manifest = read_manifest(path)
    assert manifest is not None and manifest["identity"]["capability"] == "8.6, 8.9, 12.0, 12.1"
    alone, _ = runtimes.build(checkpoint, Options("tensorrt_rtx", "fp16"), "8.9")
    assert path.read_bytes() != alone.read_bytes()
    with pytest.raises(ValueError, match=r"got 8\.9, a portable engine is for 8\.6, 8\.9, 12\.0, 12\.1"):
        runtimes.build(checkpoint, options, "8.9")
    monkeypatch.setattr(tensorrt_rtx.stream, "check", lambda: None)
    monkeypatch.setattr(engine, "EngineRuntime", lambda trt, path, *_, host_code=False: (path, host_code))
    for capability, expected in (((8, 9), alone), ((12, 0), path)):
        monkeypatch.setattr(gpu, "find", lambda capability=capability: gpu.Gpu("RTX", capability, 13000, 20))
        assert tensorrt_rtx.load(checkpoint, Options("tensorrt_rtx", "fp16")) == (expected, False)


@needs_tensorrt_rtx
@without_gpu
def test_what_portable_means_reaches_the_builder(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of classic TensorRT, that is: the builder of the other one lacks the library that serves later versions."""
    trt, flags = import_package("tensorrt_rtx"), []

    class Builder(trt.Builder):  # type: ignore[misc, name-defined]
        def build_serialized_network(self, network: object, config: Any) -> Any:
            flags.append(config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE))
            return super().build_serialized_network(network, config)

    monkeypatch.setattr(trt, "Builder", Builder)
    with pytest.raises(EngineError, match="cannot build its engine"):
        build_engine(trt, graph_of(checkpoint, "fp16"), tmp_path / "small.engine", (), options=Options(portable=True))
    assert flags == [True]


@needs_tensorrt_rtx
@without_gpu
def test_the_command_builds_a_portable_engine_without_a_gpu(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["build-engine", str(checkpoint.path), "--portable"]) == 0
    assert "capability: 8.6, 8.9, 12.0, 12.1" in capsys.readouterr().out
