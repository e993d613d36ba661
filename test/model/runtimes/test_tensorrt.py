"""Real engines of TensorRT for RTX, built without a GPU. What runs on one is in test_engine.py, as far as it can be."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qdtrack_model import checkpoints, cli, runtimes
from qdtrack_model.cache import read_manifest
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.commands import INTERRUPTED
from qdtrack_model.runtimes import Options, RuntimeUnavailable, engine_builder, gpu, tensorrt, tensorrt_rtx
from qdtrack_model.runtimes.cuda.calls import CudaError
from qdtrack_model.runtimes.engine_builder import EngineError, build_engine, import_package, lacking
from qdtrack_model.runtimes.graph import GraphError, graph_of
from qdtrack_model.runtimes.quantization import quantize_for_gpu

REPOSITORY = Path(__file__).resolve().parents[3]
needs_tensorrt_rtx = pytest.mark.skipif(lacking("tensorrt_rtx", "x") is not None, reason=tensorrt_rtx.INSTALL)
without_gpu = pytest.mark.skipif(gpu.find() is not None, reason="about machines without a GPU")


@pytest.fixture
def half(checkpoint: Checkpoint, cache: Path) -> Checkpoint:
    """The exported graph of the weights in fp16."""
    return checkpoints.load(graph_of(checkpoint, "fp16"))


@needs_tensorrt_rtx
@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [*((name, "fp16") for name in checkpoints.SHIPPED), ("street", "fp32")])
def test_every_shipped_network_becomes_an_engine(name: str, precision: str) -> None:
    checkpoint = checkpoints.load(name)
    path, _ = runtimes.build(checkpoint, Options("tensorrt_rtx", precision), "8.9")
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest["bytes"] == path.stat().st_size > checkpoint.path.stat().st_size / 2
    assert manifest["identity"] == {
        "weights": checkpoint.digest, "graph": manifest["identity"]["graph"], "precision": precision, "batch": 1,
        "input_size": list(checkpoint.config.input_size), "runtime": "tensorrt_rtx",
        "version": import_package("tensorrt_rtx").__version__, "capability": "8.9",
    }  # fmt: skip


@needs_tensorrt_rtx
def test_an_engine_is_built_once_for_each_compute_capability(checkpoint: Checkpoint) -> None:
    options = Options("tensorrt_rtx")
    path, settled = runtimes.build(checkpoint, options, "8.9")
    assert settled.precision == "fp16" and path.name.startswith("small-") and path.suffix == ".engine"
    before = path.stat().st_mtime_ns
    assert runtimes.build(checkpoint, options, "8.9")[0] == path and path.stat().st_mtime_ns == before
    others = [
        runtimes.build(checkpoint, options, "12.0")[0],
        runtimes.build(checkpoint, Options("tensorrt_rtx", "fp32"), "8.9")[0],
    ]
    assert len({path, *others}) == 3


@needs_tensorrt_rtx
def test_a_truncated_engine_is_built_again(half: Checkpoint, own_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, _ = runtimes.build(half, Options("tensorrt_rtx"), "8.9")
    assert path.parent == own_cache
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    assert runtimes.build(half, Options("tensorrt_rtx"), "8.9")[0].stat().st_size == size
    assert f"is built again: it has {size // 2} bytes, expected {size}: cut off?" in caplog.text


@needs_tensorrt_rtx
def test_an_exported_graph_becomes_an_engine_of_its_precision(checkpoint: Checkpoint) -> None:
    graph = checkpoints.load(graph_of(checkpoint, "bf16"))
    path, settled = runtimes.build(graph, Options("tensorrt_rtx"), "8.6")
    assert settled.precision == "bf16" and path.stat().st_size > 0
    with pytest.raises(GraphError, match="a graph in bf16 for 1 images, asked for bf16 and 2"):
        runtimes.build(graph, Options("tensorrt_rtx", batch=2), "8.6")


@needs_tensorrt_rtx
def test_a_graph_that_tensorrt_cannot_take_is_one_clear_error(checkpoint: Checkpoint, tmp_path: Path) -> None:
    import onnx

    trt = import_package("tensorrt_rtx")
    whole = graph_of(checkpoint, "fp16").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    model = onnx.load_from_string(whole)
    next(node for node in model.graph.node if node.op_type == "TopK").op_type = "Levitate"
    onnx.save(model, tmp_path / "odd.onnx")
    for name, reason in (("cut", ""), ("odd", "Levitate")):
        with pytest.raises(EngineError) as caught:
            build_engine(trt, tmp_path / f"{name}.onnx", tmp_path / "out.engine", ["8.9"], False)
        text = str(caught.value)
        assert f"{name}.onnx: tensorrt_rtx {trt.__version__} cannot read this graph: " in text
        assert reason in text and "\n" not in text
        assert not (tmp_path / "out.engine").exists()


@needs_tensorrt_rtx
def test_memory_that_runs_out_while_building_is_one_clear_error(
    half: Checkpoint, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = import_package("tensorrt_rtx")

    class Full(trt.Builder):  # type: ignore[misc, name-defined]
        def build_serialized_network(self, network: object, config: object) -> None:
            self.logger.log(trt.ILogger.Severity.ERROR, "Error Code 1: Cuda Runtime (out of memory)\nmore")

    monkeypatch.setattr(trt, "Builder", Full)
    with pytest.raises(EngineError, match=r"cannot build its engine: .*out of memory.*take a smaller batch") as caught:
        runtimes.build(half, Options("tensorrt_rtx"), "8.9")
    assert "\n" not in str(caught.value)
    assert {path.suffix for path in own_cache.iterdir()} == {".lock"}


def test_an_engine_of_another_gpu_or_driver_is_never_used(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = SimpleNamespace(__name__="tensorrt", __version__="10.16")
    monkeypatch.setattr(tensorrt, "lacking", lambda *_: None)
    monkeypatch.setattr(tensorrt, "import_package", lambda _: package)
    monkeypatch.setattr(engine_builder, "build_engine", lambda trt, graph, path, *_: path.write_text(gpu.find().name))
    engines = []
    for found in (
        gpu.Gpu("Orin", (8, 7), 12060, 16),
        gpu.Gpu("Orin", (8, 7), 12060, 8),  # AGX and NX may have one name
        gpu.Gpu("Orin", (8, 7), 13000, 16),
        gpu.Gpu("Thor", (11, 0), 13000, 20),
    ):
        monkeypatch.setattr(gpu, "find", lambda found=found: found)
        engines.append(runtimes.build(checkpoint, Options("tensorrt"))[0])
    assert len(set(engines)) == 4
    for suffix in ("", ".json"):  # as somebody may copy them
        shutil.copy(f"{engines[0]}{suffix}", f"{engines[3]}{suffix}")
    assert runtimes.build(checkpoint, Options("tensorrt"))[0].read_text() == "Thor"
    assert (
        "is built again: it was built for something else: gpu 'Orin' instead of 'Thor', multiprocessors 16 "
        in caplog.text
    )


@needs_tensorrt_rtx
def test_an_engine_is_built_anew_for_another_optimization_level(
    checkpoint: Checkpoint, own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trt, levels = import_package("tensorrt_rtx"), []

    class Builder(trt.Builder):  # type: ignore[misc, name-defined]
        def build_serialized_network(self, network: object, config: Any) -> Any:
            levels.append(config.builder_optimization_level)
            return super().build_serialized_network(network, config)

    monkeypatch.setattr(trt, "Builder", Builder)
    options = Options("tensorrt_rtx", "fp16")
    for level in (None, None, 5, 1):
        path, _ = runtimes.build(checkpoint, replace(options, optimization_level=level), "8.9")
    assert levels == [3, 5, 1] and len(list(own_cache.glob("*.engine"))) == 1
    assert runtimes.build(checkpoint, options, "8.9")[0] == path and len(levels) == 3
    assert "is built again" not in caplog.text


@needs_tensorrt_rtx
def test_int8_beside_half_becomes_an_engine(checkpoint: Checkpoint, half: Checkpoint, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 1, 64, 96, 3), dtype=np.uint8)
    output, alike = tmp_path / "int8-fp16.onnx", tmp_path / "int8.onnx"
    quantize_for_gpu(graph_of(checkpoint), half.path, output, alike, images)
    path, settled = runtimes.build(checkpoints.load(output), Options("tensorrt_rtx"), "8.9")
    assert settled.precision == "int8-fp16" and path.stat().st_size > 0
    with pytest.raises(ValueError, match="tensorrt_rtx has no int8, expected auto or one of fp16, fp32, bf16, int8-fp"):
        runtimes.build(checkpoints.load(alike), Options("tensorrt_rtx"), "8.9")


def test_int8_needs_a_graph(checkpoint: Checkpoint) -> None:
    pytest.importorskip("tensorrt_rtx", reason=tensorrt_rtx.INSTALL)
    with pytest.raises(GraphError, match="int8-fp16 needs a graph calibrated with data: qdtrack export"):
        runtimes.build(checkpoint, Options("tensorrt_rtx", "int8-fp16"), "8.9")


@needs_tensorrt_rtx
@pytest.mark.parametrize("capability", ["7.5", "8.0", "8.7", "9.0"])
def test_gpus_that_need_classic_tensorrt_are_told_so(checkpoint: Checkpoint, capability: str) -> None:
    with pytest.raises(ValueError, match=rf"got {capability}, TensorRT for RTX builds for 8\.6.*take classic TensorRT"):
        runtimes.build(checkpoint, Options("tensorrt_rtx"), capability)


@needs_tensorrt_rtx
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "needs an NVIDIA GPU and its driver"),
        (gpu.Gpu("Orin", (8, 7), 12060, 16), r"nothing for compute capability 8\.7 \(Orin\).*take classic TensorRT"),
        (gpu.Gpu("H200", (9, 0), 13000, 132), r"nothing for compute capability 9\.0 \(H200\)"),
    ],
    ids=["no GPU", "Orin", "Hopper"],
)
def test_a_gpu_that_is_absent_or_unsuitable_is_named(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, found: gpu.Gpu | None, reason: str
) -> None:
    pytest.importorskip("cuda.bindings", reason=tensorrt_rtx.INSTALL)
    monkeypatch.setattr(gpu, "find", lambda: found)
    with pytest.raises(RuntimeUnavailable, match=reason):
        runtimes.load(checkpoint, Options("tensorrt_rtx"))


@needs_tensorrt_rtx
@without_gpu
def test_without_a_gpu_another_runtime_is_taken_only_when_told(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cuda.bindings", reason=tensorrt_rtx.INSTALL)
    with caplog.at_level(logging.WARNING):
        runtime = runtimes.load(checkpoint, Options("tensorrt_rtx", threads=1, fallback=True))
    assert runtime.name in runtimes.ON_CPU
    assert "runtime tensorrt_rtx cannot be used (TensorRT for RTX needs an NVIDIA GPU" in caplog.text


@needs_tensorrt_rtx
def test_an_engine_can_be_recorded(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorRT for RTX asks for this flag where a CUDA graph is wanted.
    trt = import_package("tensorrt_rtx")
    flags = []

    class Watched(trt.Builder):  # type: ignore[misc, name-defined]
        def build_serialized_network(self, network: object, config: Any) -> Any:
            flags.append(config.get_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION))
            return super().build_serialized_network(network, config)

    monkeypatch.setattr(trt, "Builder", Watched)
    build_engine(trt, graph_of(checkpoint, "fp16"), tmp_path / "small.engine", ["8.9"], False)
    assert flags == [True]
    assert (tmp_path / "small.engine").stat().st_size > 0


@needs_tensorrt_rtx
def test_a_build_can_be_ended_and_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="building its engine was stopped"):
        build_engine(
            import_package("tensorrt_rtx"), graph_of(checkpoint, "fp16"), tmp_path / "small.engine", ["8.9"],
            options=Options(goes_on=lambda: False),
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    refusing = Options("tensorrt_rtx", "fp16", build=False, batch=3)
    with pytest.raises(RuntimeUnavailable, match=r"run `qdtrack build-engine .* --runtime tensorrt_rtx .* --batch 3`"):
        runtimes.build(checkpoint, refusing, "8.9")


@needs_tensorrt_rtx
@pytest.mark.parametrize("content", [None, b"", b"garbage"], ids=["none", "empty", "garbage"])
def test_what_was_timed_is_kept(tmp_path: Path, content: bytes | None) -> None:
    trt = import_package("tensorrt_rtx")
    path, messages = tmp_path / "tensorrt_rtx.timings", engine_builder.listen(trt)
    if content is not None:
        path.write_bytes(content)
    config = trt.Builder(messages).create_builder_config()
    engine_builder.reuse_timings(config, path)
    engine_builder.keep_timings(config, path)
    assert len(path.read_bytes()) > 0
    engine_builder.reuse_timings(config, path)


@pytest.mark.parametrize(
    ("version", "told"), [("8.6.1", "TensorRT 8.6.1 is too old, expected 10 or newer"), ("10.3.0", None)]
)
def test_tensorrt_before_10_is_refused(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, version: str, told: str | None
) -> None:
    monkeypatch.setattr(tensorrt, "lacking", lambda *_: None)
    monkeypatch.setattr(tensorrt, "import_package", lambda _: SimpleNamespace(__version__=version))
    monkeypatch.setattr(tensorrt.calls, "missing", lambda driver: None)
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("Orin", (8, 7), 12060, 16))
    missing = tensorrt.missing()
    assert missing is None if told is None else missing is not None and missing.startswith(told)
    if told is not None:
        for attempt in (runtimes.load, runtimes.build):
            with pytest.raises(RuntimeUnavailable, match=told):
                attempt(checkpoint, Options("tensorrt"))


def test_a_tensorrt_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeUnavailable(f"{name} is installed but cannot be loaded: libnvinfer.so.10 is not there")

    monkeypatch.setattr(tensorrt, "lacking", lambda *_: None)
    monkeypatch.setattr(tensorrt, "import_package", fail)
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("Orin", (8, 7), 12060, 16))
    assert tensorrt.missing() == "tensorrt is installed but cannot be loaded: libnvinfer.so.10 is not there"


@pytest.mark.parametrize("module", [tensorrt, tensorrt_rtx])
def test_a_gpu_that_cannot_be_used_is_told_before_an_engine_is_built(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    def fail() -> None:
        raise CudaError("the GPU refuses a stream: it fell off the bus")

    def build(*_: object) -> None:
        raise AssertionError("minutes were spent")

    monkeypatch.setattr(module.stream, "check", fail)
    monkeypatch.setattr(module, "build", build)
    with pytest.raises(CudaError, match="it fell off the bus"):
        module.load(checkpoint, Options(module.__name__.rpartition(".")[2], "fp16"))


@pytest.mark.skipif(lacking("tensorrt", "x") is None, reason="classic TensorRT is installed")
def test_classic_tensorrt_says_where_it_comes_from(checkpoint: Checkpoint) -> None:
    for attempt in (runtimes.load, runtimes.build):
        with pytest.raises(RuntimeUnavailable, match="TensorRT is not installed: it comes with JetPack"):
            attempt(checkpoint, Options("tensorrt"))
    assert tensorrt.missing() == tensorrt.INSTALL


@needs_tensorrt_rtx
def test_the_command_builds_and_tells(checkpoint: Checkpoint, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build-engine", str(checkpoint.path), "--compute-capability", "8.9"]
    assert cli.main(arguments) == 0
    first = capsys.readouterr().out
    path = Path(first.splitlines()[0].removeprefix("engine: "))
    assert path.is_file() and path.parent == cache
    assert f"manifest: {path}.json" in first and "precision: fp16" in first and "capability: 8.9" in first
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == first


@needs_tensorrt_rtx
def test_the_command_needs_no_torch_for_a_graph(half: Checkpoint) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from qdtrack_model import cli\n"
        f"sys.exit(cli.main(['build-engine', {str(half.path)!r}, '--compute-capability', '8.9']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "engine: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runtime", "tensorrt_rtx", "--compute-capability", "8.7"], "got 8.7, TensorRT for RTX builds for"),
        pytest.param(["--runtime", "tensorrt_rtx"], "no NVIDIA GPU here to build for", marks=without_gpu),
        pytest.param([], "no GPU to build for; name one with --compute-capability", marks=without_gpu),
    ],
)
@needs_tensorrt_rtx
def test_the_command_refuses_in_one_line(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(["build-engine", str(checkpoint.path), *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("qdtrack: error: ") and message in said


@needs_tensorrt_rtx
def test_an_interrupted_build_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "qdtrack_model.cli", "build-engine", "street_qdtrack", "--compute-capability", "8.9"],
        cwd=REPOSITORY, env={**os.environ, "QDTRACK_CACHE": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
        # Who starts the tests in the background may have SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "graph of" in line:
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()  # torch may add the statistics of its caches
    # With `-m`, Python ends by the signal itself where that came within an exec() of text, as when dataclasses are made
    # of what is imported; to a shell both are 130.
    assert process.wait(60) in (INTERRUPTED, -signal.SIGINT), said
    assert "qdtrack: interrupted\n" in said and "Traceback" not in said
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock"}
