"""Exported graphs: one file that knows its network, in every precision."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import onnx
import pytest

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.checkpoints import Checkpoint, CheckpointError
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.runtimes import Options
from qdtrack_model.runtimes.graph import GraphError, export_onnx, graph_of, uninterrupted
from qdtrack_model.structures import Array

from .comparison import assert_same
from .rough_division import with_rough_divisions


def test_a_graph_carries_what_the_weights_say(checkpoint: Checkpoint) -> None:
    graph = checkpoints.load(graph_of(checkpoint, batch=2))
    assert (graph.config, graph.tracker, graph.provenance) == (
        checkpoint.config,
        checkpoint.tracker,
        checkpoint.provenance,
    )
    assert graph.graph == checkpoints.Graph("fp32", 2, checkpoint.digest)


def test_a_graph_is_run_as_it_is(checkpoint: Checkpoint, tmp_path: Path) -> None:
    graph = checkpoints.load(graph_of(checkpoint, batch=2))
    image = np.random.default_rng(0).integers(0, 255, (3, 64, 96, 3), dtype=np.uint8)
    found = runtimes.load(graph, Options("onnxruntime", threads=1, batch=2)).infer(image)
    expected = runtimes.load(checkpoint, Options("torch", threads=1)).infer(image)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.sort(one.scores), np.sort(other.scores), atol=1e-5)
    assert graph_of(graph, "fp32", 2) == graph.path
    with pytest.raises(GraphError, match="a graph in fp32 for 2 images, asked for fp16 and 1; export the weights"):
        graph_of(graph, "fp16", 1)
    with pytest.raises(GraphError, match="is an exported graph already"):
        export_onnx(graph, tmp_path / "again.onnx")
    with pytest.raises(CheckpointError, match="holds no network for torch"):
        runtimes.load(graph, Options("torch"))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_layers_are_in_the_precision_and_the_rest_in_float32(checkpoint: Checkpoint, precision: str) -> None:
    model = onnx.load(graph_of(checkpoint, precision))
    onnx.checker.check_model(model, full_check=True)
    kinds = {"fp32": onnx.TensorProto.FLOAT, "fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}
    constants = {entry.name: entry for entry in model.graph.initializer}
    kernels = [constants[n.input[1]] for n in model.graph.node if n.op_type == "Conv" and n.input[1] in constants]
    assert len(kernels) > 10 and {kernel.data_type for kernel in kernels} == {kinds[precision]}
    outputs = {entry.name: entry.type.tensor_type.elem_type for entry in model.graph.output}
    assert outputs == dict.fromkeys(("boxes", "scores", "embeddings"), onnx.TensorProto.FLOAT) | {
        "labels": onnx.TensorProto.INT64
    }


@pytest.mark.parametrize(("precision", "opset"), [("fp32", 20), ("fp16", 20), ("bf16", 22)])
def test_the_opset_is_the_lowest_that_serves(checkpoint: Checkpoint, precision: str, opset: int) -> None:
    # TensorRT 10.3 of JetPack 6 is documented for opsets up to 20.
    model = onnx.load(graph_of(checkpoint, precision))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]


def test_divisions_of_a_gpu_find_the_same(checkpoint: Checkpoint, tmp_path: Path) -> None:
    graph = graph_of(checkpoint)
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), dtype=np.uint8)
    expected = runtimes.load(checkpoints.load(graph), Options("onnxruntime", threads=1)).infer(image)[0]
    with_rough_divisions(graph, tmp_path / "rough.onnx")
    rough = runtimes.load(checkpoints.load(tmp_path / "rough.onnx"), Options("onnxruntime", threads=1))
    assert_same(rough.infer(image)[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", checkpoints.SHIPPED)
def test_the_graph_of_shipped_weights_equals_eager_on_a_street(name: str, street_image: Array) -> None:
    shipped = checkpoints.load(name)
    image = Preprocessor(shipped.config)([street_image])[0]
    runs = [runtimes.load(shipped, Options(runtime, threads=1)) for runtime in ("torch", "onnxruntime")]
    expected, found = (run.infer(image)[0] for run in runs)
    assert len(expected) > (0 if name == "plaza" else 10)  # plaza knows people from above
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\x08\x0b garbage", "not a readable ONNX file"), (b"", "metadata `format` is None")],
    ids=["garbage", "empty"],
)
def test_what_is_no_graph_of_ours_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "odd.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(tmp_path / "odd.onnx")


@pytest.mark.parametrize("fails", [False, True])
def test_ctrl_c_waits_until_the_exporter_is_done(fails: bool, capfd: pytest.CaptureFixture[str]) -> None:
    done = False

    def export() -> None:
        nonlocal done
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done = True
            if fails:
                raise ValueError("a tool of the exporter was interrupted")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            export()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert done and "the step it is at ends first" in capfd.readouterr().err


def test_who_takes_ctrl_c_already_is_asked_alone() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]
