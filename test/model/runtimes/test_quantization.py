"""int8 graphs: what is quantised and how, and that ONNX Runtime and OpenVINO find the same with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
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
from qdtrack_model.runtimes.graph import GraphError, export_onnx, graph_of
from qdtrack_model.runtimes.quantization import quantize, quantize_for_gpu
from qdtrack_model.structures import Detections

CONFIG = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20, score_floor=0.0)
OPTIONS = Options("onnxruntime", threads=1, batch=2)
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


def assert_near(found: Detections, expected: Detections) -> None:
    assert len(found) == len(expected) == 20
    rows, columns = np.nonzero(np.abs(expected.boxes[:, None] - found.boxes).max(axis=2) < 0.5)
    assert len(set(rows)) >= 9  # some scores nearly tie: others come in
    np.testing.assert_allclose(expected.scores[rows], found.scores[columns], atol=0.05)
    products = (expected.embeddings[rows] * found.embeddings[columns]).sum(axis=1)
    lengths = np.linalg.norm(expected.embeddings[rows], axis=1) * np.linalg.norm(found.embeddings[columns], axis=1)
    assert (products / lengths).min() > 0.95


@pytest.fixture(scope="module")
def exact(weights: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "exact.onnx"
    export_onnx(weights, path, batch=2)
    return path


def test_convolutions_are_quantised_and_nothing_else(weights: Checkpoint, exact: Path, tmp_path: Path) -> None:
    quantize(exact, tmp_path / "int8.onnx", IMAGES)
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
        assert constants[activation.input[2]].data_type == TensorProto.UINT8
    assert not any(
        makers[name].op_type == "DequantizeLinear"
        for node in model.graph.node if node.op_type in ("MatMul", "Gemm") for name in node.input if name in makers
    )  # fmt: skip
    loaded = checkpoints.load(tmp_path / "int8.onnx")
    assert loaded.graph == Graph("int8", 2, weights.digest) and loaded.config == weights.config


def test_for_a_gpu_sums_stay_in_int8_and_the_rest_is_half(
    small_preset: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    weights = small_preset("light")
    graphs = [graph_of(weights, "fp32"), graph_of(weights, "fp16"), tmp_path / "gpu.onnx", tmp_path / "alike.onnx"]
    quantize_for_gpu(*graphs, np.random.default_rng(0).integers(0, 255, (2, 1, 96, 160, 3), dtype=np.uint8))
    assert [checkpoints.load(path).graph for path in graphs[2:]] == [
        Graph("int8-fp16", 1, weights.digest), Graph("int8", 1, weights.digest)
    ]  # fmt: skip
    for path, kind in zip(graphs[2:], (TensorProto.FLOAT16, TensorProto.FLOAT), strict=True):
        model = onnx.load(path)
        constants = {entry.name: entry for entry in model.graph.initializer}
        makers = {output: node for node in model.graph.node for output in node.output}
        kinds = {name: makers[name].op_type for name in makers}
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        for node in convolutions:
            assert all(constants[name].data_type == kind for name in node.input[2:])  # biases are as they were
            made = [kinds.get(name) for name in node.input[:2]]
            if node.input[1] in constants:  # of images and of the RPN's boxes: three and twelve channels
                assert min(constants[node.input[1]].dims[:2]) < 16
            else:
                assert made == ["DequantizeLinear", "DequantizeLinear"]
                kernel = makers[node.input[1]].input
                assert constants[kernel[0]].data_type == TensorProto.INT8 and constants[kernel[1]].data_type == kind
                assert numpy_helper.to_array(constants[makers[node.input[0]].input[2]]) == 0
        assert sum(node.input[1] not in constants for node in convolutions) == len(convolutions) - 11
        # What TensorRT fuses: a convolution, the other term of its sum, which is int8 already, and the ReLU.
        sums = [node.input for node in model.graph.node if node.op_type == "Add"]
        terms = [b for a, b in sums if (kinds.get(a), kinds.get(b)) == ("Conv", "DequantizeLinear")]
        origins = Counter(kinds[makers[makers[name].input[0]].input[0]] for name in terms)
        assert origins == {"MaxPool": 1, "Relu": 4, "Conv": 3}  # of the eight blocks of ResNet-18


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_is_near_fp32(exact: Path, tmp_path: Path, runtime: str) -> None:
    pytest.importorskip(runtime, reason=f"{runtime} is not installed")
    quantize(exact, tmp_path / "int8.onnx", IMAGES)
    both = [checkpoints.load(path) for path in (exact, tmp_path / "int8.onnx")]
    loaded = [runtimes.load(graph, Options(runtime, threads=1, batch=2)) for graph in both]
    assert [one.device.split(", ")[-1] for one in loaded] == ["fp32", "int8"]
    for first, second in zip(*(one.infer(IMAGES[0]) for one in loaded), strict=True):
        assert_near(second, first)


def test_int8_for_gpus_is_near_fp32(weights: Checkpoint, exact: Path, tmp_path: Path) -> None:
    export_onnx(weights, tmp_path / "half.onnx", "fp16", batch=2)
    quantize_for_gpu(exact, tmp_path / "half.onnx", tmp_path / "gpu.onnx", tmp_path / "alike.onnx", IMAGES)
    loaded = [runtimes.load(checkpoints.load(p), OPTIONS) for p in (exact, tmp_path / "alike.onnx")]
    for first, second in zip(*(one.infer(IMAGES[0]) for one in loaded), strict=True):
        assert_near(second, first)
    with pytest.raises(ValueError, match="onnxruntime has no int8-fp16, expected"):
        runtimes.load(checkpoints.load(tmp_path / "gpu.onnx"), OPTIONS)


def test_without_images_there_is_no_calibration(exact: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="calibration: no images"):
        quantize(exact, tmp_path / "int8.onnx", [])
    assert not (tmp_path / "int8.onnx").exists()


def test_weights_alone_are_no_int8_graph(weights: Checkpoint) -> None:
    with pytest.raises(GraphError, match="int8 needs a graph calibrated with data: qdtrack export WEIGHTS"):
        runtimes.load(weights, Options("onnxruntime", "int8"))
