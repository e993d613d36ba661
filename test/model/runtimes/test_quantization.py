"""int8 graphs: what is quantised and how, and that ONNX Runtime and OpenVINO find the same with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.checkpoints import Checkpoint, Graph
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build
from qdtrack_model.runtimes import Options
from qdtrack_model.runtimes.graph import GraphError, export_onnx
from qdtrack_model.runtimes.quantization import quantize

CONFIG = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20, score_floor=0.0)
IMAGES = np.random.default_rng(0).integers(0, 255, (4, 2, 64, 96, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    network = build(CONFIG).eval()
    # Untrained features are all but zero: norms that know their statistics, and scores that differ, as if trained.
    with torch.no_grad():
        network.train()
        for _ in range(20):
            network(torch.from_numpy(IMAGES.reshape(-1, *IMAGES.shape[2:])))
        network.get_submodule("heat").weight *= 70
    checkpoints.save(path, network.eval(), CONFIG, QuasiDenseConfig(), {})
    return checkpoints.load(path)


@pytest.fixture(scope="module")
def exact(weights: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "exact.onnx"
    export_onnx(weights, path, batch=2)
    return path


@pytest.mark.parametrize("symmetric", [False, True], ids=["unsigned", "symmetric"])
def test_convolutions_are_quantised_and_nothing_else(
    weights: Checkpoint, exact: Path, tmp_path: Path, symmetric: bool
) -> None:
    quantize(exact, tmp_path / "int8.onnx", IMAGES, symmetric)
    model = onnx.load(tmp_path / "int8.onnx")
    constants = {entry.name: entry for entry in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 10
    for node in convolutions:
        activation, kernel = makers[node.input[0]], makers[node.input[1]]
        assert activation.op_type == kernel.op_type == "DequantizeLinear"
        assert constants[kernel.input[0]].data_type == TensorProto.INT8
        assert len(numpy_helper.to_array(constants[kernel.input[1]])) == constants[kernel.input[0]].dims[0]  # channels
        zero = constants[activation.input[2]]
        assert zero.data_type == (TensorProto.INT8 if symmetric else TensorProto.UINT8)
        if symmetric:
            assert numpy_helper.to_array(zero) == 0
            assert all(name in constants for name in node.input[2:])  # TensorRT refuses quantised biases
    assert not any(
        makers[name].op_type == "DequantizeLinear"
        for node in model.graph.node if node.op_type in ("MatMul", "Gemm") for name in node.input if name in makers
    )  # fmt: skip
    loaded = checkpoints.load(tmp_path / "int8.onnx")
    assert loaded.graph == Graph("int8", 2, weights.digest) and loaded.config == weights.config


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_is_near_fp32(exact: Path, tmp_path: Path, runtime: str) -> None:
    pytest.importorskip(runtime, reason=f"{runtime} is not installed")
    quantize(exact, tmp_path / "int8.onnx", IMAGES)
    both = [checkpoints.load(path) for path in (exact, tmp_path / "int8.onnx")]
    loaded = [runtimes.load(graph, Options(runtime, threads=1, batch=2)) for graph in both]
    assert [one.device.split(", ")[-1] for one in loaded] == ["fp32", "int8"]
    for first, second in zip(*(one.infer(IMAGES[0]) for one in loaded), strict=True):
        assert len(first) == len(second) == 20
        rows, columns = np.nonzero(np.abs(first.boxes[:, None] - second.boxes).max(axis=2) < 0.5)
        assert len(set(rows)) >= 9  # some scores nearly tie: others come in
        np.testing.assert_allclose(first.scores[rows], second.scores[columns], atol=0.05)
        products = (first.embeddings[rows] * second.embeddings[columns]).sum(axis=1)
        lengths = np.linalg.norm(first.embeddings[rows], axis=1) * np.linalg.norm(second.embeddings[columns], axis=1)
        assert (products / lengths).min() > 0.95


def test_without_images_there_is_no_calibration(exact: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="calibration: no images"):
        quantize(exact, tmp_path / "int8.onnx", [])
    assert not (tmp_path / "int8.onnx").exists()


def test_weights_alone_are_no_int8_graph(weights: Checkpoint) -> None:
    with pytest.raises(GraphError, match="int8 needs a graph calibrated with data: qdtrack export WEIGHTS"):
        runtimes.load(weights, Options("onnxruntime", "int8"))
