"""OpenVINO on the CPU: half the time of float32 where the processor has bfloat16 instructions.

The exported graph says what is computed in which precision, and OpenVINO is told to keep to it. Its own way, to
compute a float32 graph in bfloat16 (``INFERENCE_PRECISION_HINT``), rounds coordinates too: in QDTrack's RoIAlign and
box decoding whole pixels are lost, scores of weak detections move by more than a tenth, and no less time is needed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes.graph import OUTPUTS, GraphError, graph_of
from qdtrack_model.runtimes.interface import Options
from qdtrack_model.runtimes.onnx import CpuGraphRuntime
from qdtrack_model.structures import Array

PRECISIONS = ("fp32", "bf16", "int8")


def missing() -> str | None:
    """What this runtime lacks here."""
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed: pip install 'qdtrack[openvino]'"
    return None


def advice() -> str | None:
    """What this runtime would do better on this processor than an exact one, and how to get it; None for nothing."""
    try:
        known = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    if not {"avx512_bf16", "amx_bf16"} & set(known.split()):
        return None
    lacking = missing()
    return "runtime: openvino, precision: bf16 is faster, nearly exact" + (f" ({lacking})" if lacking else "")


class OpenvinoRuntime(CpuGraphRuntime):
    """The exported graph, compiled by OpenVINO.

    Raises:
        ValueError: bfloat16 on a processor without it.
    """

    name = "openvino"

    def _open(self, checkpoint: Checkpoint, options: Options) -> None:
        import openvino

        core = openvino.Core()
        if options.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            processor = core.get_property("CPU", "FULL_DEVICE_NAME")
            raise ValueError(f"precision: {processor} has no bfloat16 instructions, expected fp32 or int8")
        graph = graph_of(checkpoint, options.precision, options.batch)
        settings = {
            "EXECUTION_MODE_HINT": "ACCURACY",  # each layer in the precision of the graph
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": options.cores,
        }
        try:
            self._compiled: Any = core.compile_model(str(graph), "CPU", settings)
        except RuntimeError as error:
            raise GraphError(f"{graph}: OpenVINO cannot load it: {_reason(error)}") from None

    def _run(self, images: Array) -> Sequence[Array]:
        outputs = self._compiled([images], share_inputs=True)
        return [outputs[name] for name in OUTPUTS]

    def close(self) -> None:
        del self._compiled


def _reason(error: RuntimeError) -> str:
    """The last line of OpenVINO's message, which says what is wrong; those before are places in its sources."""
    return ([line.strip("- ") for line in str(error).splitlines() if line.strip()] or ["no reason given"])[-1]


load = OpenvinoRuntime
