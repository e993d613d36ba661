"""Post-training quantisation of an exported graph: convolutions in int8, everything else stays float32.

Scales and zero points stand in the graph (QuantizeLinear and DequantizeLinear pairs), so that ONNX Runtime, OpenVINO
and TensorRT compute the same. Weights are signed, with one scale for each output channel.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.runtimes.graph import quiet
from qdtrack_model.structures import Array


def quantize(graph: Path, output: Path, images: Iterable[Array], symmetric: bool = False) -> None:
    """Write the int8 graph of an exported fp32 ``graph``; the file appears whole or not at all.

    Args:
        graph: as ``export_onnx`` writes it, in fp32.
        output: the file to write; its metadata are those of ``graph`` with the precision int8.
        images: inputs (batch, H, W, 3) uint8, each of the graph's batch; their extremes become the ranges.
        symmetric: activations signed around zero, as TensorRT wants them; otherwise unsigned with a zero point, one
            bit finer after a ReLU and what CPUs are quick at.

    Raises:
        ValueError: no images.
    """
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
                # TensorRT wants biases as they are, and CPUs need them in int32 for their integer convolutions.
                extra_options={"ActivationSymmetric": symmetric, "QuantizeBias": not symmetric},
            )
        except ValueError:
            if reader.given == 0:
                raise ValueError("calibration: no images") from None
            raise
        model = onnx.load(quantized)
    described = {entry.key: entry.value for entry in onnx.load(graph).metadata_props}
    onnx.helper.set_model_props(model, described | {"precision": "int8"})
    onnx.checker.check_model(model, full_check=True)
    with atomic_write(output) as partial:
        partial.write_bytes(model.SerializeToString())
