"""OpenVINO in bfloat16: the same confident detections, boxes and appearance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.boxes import box_iou
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.runtimes import Options
from qdtrack_model.runtimes.graph import GraphError, graph_of
from qdtrack_model.structures import Array

openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install openvino")

# Processors without bfloat16 refuse it, as test_a_processor_without_bfloat16_is_told says.
needs_bfloat16 = pytest.mark.skipif(
    "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="a CPU without bfloat16"
)


@needs_bfloat16
@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("street", 1.0), ("street_qdtrack", 0.9)])
def test_bf16_finds_the_same_confident_detections(name: str, share: float, street_image: Array) -> None:
    """Of a QDTrack's candidates for one object suppression may keep another one, if they are of equal rights."""
    shipped = checkpoints.load(name)
    image = Preprocessor(shipped.config)([street_image])[0]
    exact, found = (
        runtimes.load(shipped, Options("openvino", precision, threads=1)).infer(image)[0]
        for precision in ("fp32", "bf16")
    )
    confident = np.flatnonzero(exact.scores > 0.45)
    assert len(confident) > 8
    same_class = exact.labels[confident, None] == found.labels
    overlap = box_iou(exact.boxes[confident], found.boxes) * same_class
    match = overlap.argmax(axis=1)
    assert len(set(match)) == len(confident)  # each has its own
    assert overlap.max(axis=1).min() > 0.5
    same = overlap.max(axis=1) > 0.93  # half a pixel of the smallest boxes
    assert same.mean() >= share
    confident, match = confident[same], match[same]
    assert np.abs(exact.boxes[confident] - found.boxes[match]).max() < 2  # pixels, of boxes up to 300 long
    np.testing.assert_allclose(found.scores[match], exact.scores[confident], atol=0.02)
    one, other = exact.embeddings[confident], found.embeddings[match]
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.995
    assert abs((found.scores > 0.5).sum() - (exact.scores > 0.5).sum()) <= 1


@needs_bfloat16
def test_the_layers_of_a_bf16_graph_are_computed_in_bf16(checkpoint: checkpoints.Checkpoint) -> None:
    runtime = runtimes.load(checkpoint, Options("openvino", "bf16", threads=1))
    layers = [node.get_rt_info() for node in runtime._compiled.get_runtime_model().get_ops()]
    used = {layer["runtimePrecision"].value for layer in layers if layer["layerType"].value == "Convolution"}
    assert used == {"bf16"}
    assert runtime.device == "cpu, 1 threads, bf16"


def test_a_processor_without_bfloat16_is_told(
    checkpoint: checkpoints.Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OldProcessor(openvino.Core):
        def get_property(self, device: str, name: str) -> object:
            return {"OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"], "FULL_DEVICE_NAME": "Old CPU"}[name]

    monkeypatch.setattr(openvino, "Core", OldProcessor)
    with pytest.raises(ValueError, match="Old CPU has no bfloat16 instructions, expected fp32 or int8"):
        runtimes.load(checkpoint, Options("openvino", "bf16"))


def test_a_graph_that_openvino_cannot_load_is_named(checkpoint: checkpoints.Checkpoint, tmp_path: Path) -> None:
    model = onnx.load(graph_of(checkpoint))
    model.graph.node[0].op_type = "Levitate"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(GraphError, match=r"odd\.onnx: OpenVINO cannot load it: No conversion rule .*Levitate"):
        runtimes.load(checkpoints.load(tmp_path / "odd.onnx"), Options("openvino"))
