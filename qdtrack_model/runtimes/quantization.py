"""Post-training quantisation of an exported graph: convolutions in int8, everything else in floating point.

Scales and zero points stand in the graph (QuantizeLinear and DequantizeLinear pairs). Weights are signed, with one
scale for each output channel. The rest is as those who run it want it:

- ``int8`` for CPUs: float32; activations unsigned with a zero point, one bit finer after a ReLU.
- ``int8-fp16`` for GPUs: float16; activations signed around zero, all that TensorRT takes; no pair between a
  convolution and its ReLU or its sum, and one before the sum's other term: so TensorRT computes the three at once and
  keeps int8 from one to the next. ONNX Runtime's optimiser makes other graphs of these, which it is not given here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.runtimes.graph import quiet
from qdtrack_model.structures import Array

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# Convolutions with fewer channels in or out, of images or of boxes, stay float16: int8 units of GPUs take more at once.
FEWEST_CHANNELS = 16
LEAST_SCALE = 2.0**-24  # the smallest number of float16


def quantize(graph: Path, output: Path, images: Iterable[Array]) -> None:
    """Write the int8 graph for CPUs of an exported network; the file appears whole or not at all.

    Args:
        graph: as ``export_onnx`` writes it in fp32.
        output: the file to write; its metadata are those of ``graph`` with the precision int8.
        images: inputs (batch, H, W, 3) uint8, each of the graph's batch; their extremes become the ranges.

    Raises:
        ValueError: no images.
    """
    _write(_quantized(graph, images, symmetric=False), graph, output, "int8")


def quantize_for_gpu(graph: Path, half: Path, output: Path, alike: Path, images: Iterable[Array]) -> None:
    """Write the int8-fp16 graph of an exported network, and one that rounds alike and runs on CPUs.

    Args:
        graph: as ``export_onnx`` writes it in fp32; the ranges of activations are found with it.
        half: the same network in fp16.
        output: the file to write; its metadata are those of ``graph`` with the precision int8-fp16.
        alike: another file to write: the same but in float32, to judge by how well ``output`` tracks.
        images: as of :func:`quantize`.

    Raises:
        ValueError: no images.
    """
    import onnx

    quantized = _quantized(graph, images, symmetric=True)
    _write(_Placement(quantized, onnx.load(half)).result(), graph, output, "int8-fp16")
    _write(_Placement(quantized, onnx.load(graph)).result(), graph, alike, "int8")


def _write(model: ModelProto, graph: Path, output: Path, precision: str) -> None:
    """Write ``model`` with the metadata of ``graph`` but its precision."""
    import onnx

    described = {entry.key: entry.value for entry in onnx.load(graph).metadata_props}
    onnx.helper.set_model_props(model, described | {"precision": precision})
    onnx.checker.check_model(model, full_check=True)
    with atomic_write(output) as partial:
        partial.write_bytes(model.SerializeToString())


def _quantized(graph: Path, images: Iterable[Array], symmetric: bool) -> ModelProto:
    """The fp32 ``graph`` with inputs, weights and outputs of convolutions quantised, by ONNX Runtime."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.waiting, self.given = iter(images), 0

        def get_next(self) -> dict[str, Array] | None:
            image = next(self.waiting, None)
            self.given += image is not None
            return None if image is None else {"images": np.ascontiguousarray(image)}

    reader = Reader()
    with tempfile.TemporaryDirectory() as folder, quiet():
        quantized = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                graph,
                quantized,
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # CPUs need biases in int32 for their integer convolutions; TensorRT wants them as they are.
                extra_options={"ActivationSymmetric": symmetric, "QuantizeBias": not symmetric},
            )
        except ValueError:
            if reader.given == 0:
                raise ValueError("calibration: no images") from None
            raise
        return onnx.load(quantized)


class _Placement:
    """Puts weights and scales of a quantised graph where a GPU wants them in another graph of the same network.

    Args:
        quantized: the graph in fp32 with inputs, weights and outputs of convolutions quantised.
        model: the graph in any precision, which is changed; the outputs of its convolutions have the same names.
    """

    def __init__(self, quantized: ModelProto, model: ModelProto) -> None:
        from onnx import TensorProto, numpy_helper

        self._model = model
        half = any(entry.data_type == TensorProto.FLOAT16 for entry in model.graph.initializer)
        self._type = np.float16 if half else np.float32
        self._constants = {entry.name: numpy_helper.to_array(entry) for entry in quantized.graph.initializer}
        self._makers = {name: node for node in quantized.graph.node for name in node.output}
        nodes = {name: node for node in model.graph.node for name in node.output if node.op_type == "Conv"}
        channels = {entry.name: min(entry.dims[:2]) for entry in model.graph.initializer if len(entry.dims) == 4}
        self._convolutions = {name: n for name, n in nodes.items() if channels[n.input[1]] >= FEWEST_CHANNELS}
        # Of activations: outputs of convolutions, and inputs, whose names may differ between the graphs.
        self._scales = {
            node.input[0]: self._constants[node.input[1]]
            for node in quantized.graph.node
            if node.op_type == "QuantizeLinear" and node.input[0] in nodes
        }
        for name, node in self._convolutions.items():
            self._scales[node.input[0]] = self._constants[self._dequantized(name, 0)[1]]

    def _dequantized(self, convolution: str, index: int) -> list[str]:
        """What the input ``index`` of a quantised convolution is made of: integers, scale and zero point."""
        return list(self._makers[self._makers[convolution].input[index]].input)

    def result(self) -> ModelProto:
        """The graph with its convolutions in int8."""
        nodes = list(self._model.graph.node)
        del self._model.graph.node[:]
        self._ready: set[str] = set()  # what has its pair
        for node in nodes:
            if node.output[0] in self._convolutions:
                self._round_activation(node, 0)
                self._round_weights(node)
            elif node.op_type == "Add":
                made = [name in self._convolutions for name in node.input]
                other = 1 if made[0] else 0
                if any(made) and node.input[other] in self._scales:
                    self._round_activation(node, other)
            self._model.graph.node.append(node)
        used = {name for node in self._model.graph.node for name in node.input}
        constants = [entry for entry in self._model.graph.initializer if entry.name in used]
        del self._model.graph.initializer[:]
        self._model.graph.initializer.extend(constants)
        return self._model

    def _round_activation(self, node: NodeProto, index: int) -> None:
        name = node.input[index]
        if name not in self._ready:
            parameters = self._parameters(name, self._scales[name])
            self._append("QuantizeLinear", [name, *parameters], f"{name}_int8")
            self._append("DequantizeLinear", [f"{name}_int8", *parameters], f"{name}_rounded")
        node.input[index] = f"{name}_rounded"

    def _round_weights(self, node: NodeProto) -> None:
        name = node.input[1]
        if name not in self._ready:  # the levels of a pyramid share those of the RPN
            integers, scale, _ = self._dequantized(node.output[0], 1)
            self._constant(f"{name}_int8", self._constants[integers])
            parameters = self._parameters(name, self._constants[scale])
            self._append("DequantizeLinear", [f"{name}_int8", *parameters], f"{name}_rounded", axis=0)
        node.input[1] = f"{name}_rounded"

    def _parameters(self, name: str, scale: Array) -> list[str]:
        """Names of a scale and its zero point, which are made here."""
        self._ready.add(name)
        self._constant(f"{name}_scale", np.maximum(scale, LEAST_SCALE).astype(self._type))
        self._constant(f"{name}_zero", np.zeros(scale.shape, np.int8))
        return [f"{name}_scale", f"{name}_zero"]

    def _constant(self, name: str, value: Array) -> None:
        from onnx import numpy_helper

        self._model.graph.initializer.append(numpy_helper.from_array(value, name))

    def _append(self, operation: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        from onnx import helper

        self._model.graph.node.append(helper.make_node(operation, inputs, [output], axis=axis))
