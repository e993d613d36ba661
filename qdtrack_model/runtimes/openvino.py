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
from qdtrack_model.runtimes.agreement import Agreement, agreement
from qdtrack_model.runtimes.graph import OUTPUTS, GraphError, graph_of
from qdtrack_model.runtimes.interface import Options, RuntimeUnavailable
from qdtrack_model.runtimes.onnx import CpuGraphRuntime
from qdtrack_model.structures import Array

PRECISIONS = ("fp32", "bf16", "int8")
# What a processor multiplies numbers of a precision with. Without one of these they are converted or emulated, which
# saves memory but no time.
INSTRUCTIONS = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8"}),
}


def missing() -> str | None:
    """What this runtime lacks here."""
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed: pip install openvino"
    return None


def flags() -> frozenset[str]:
    """The instruction sets of the processor; none where the system does not tell."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    return frozenset(told.split())


def multiplies(precision: str) -> frozenset[str]:
    """The instructions that this processor has for a precision; none where it has none or the precision needs none."""
    return INSTRUCTIONS.get(precision, frozenset()) & flags()


def gainless(precision: str) -> str | None:
    """Why ``auto`` leaves a precision to other runtimes here, or None; the precision ``auto`` is bf16 of weights."""
    if precision == "fp32":
        return "others are as fast in fp32"
    meant = "bf16" if precision == "auto" else precision
    if precision != "bf16" and not multiplies(meant):  # those who ask for bf16 get it
        return f"the processor has no instructions for {meant}"
    return None


class OpenvinoRuntime(CpuGraphRuntime):
    """The exported graph, compiled by OpenVINO.

    Raises:
        ValueError: bfloat16 on a processor without it.
    """

    name = "openvino"

    def _open(self, checkpoint: Checkpoint, options: Options) -> None:
        try:
            import openvino
        except ImportError as error:  # such as a library of the system that it needs
            raise RuntimeUnavailable(f"openvino cannot be imported: {error}") from None
        self._version: str = openvino.__version__
        core = openvino.Core()
        if options.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            processor = core.get_property("CPU", "FULL_DEVICE_NAME")
            raise ValueError(f"precision: {processor} has no bfloat16 instructions, expected fp32 or int8")
        graph = graph_of(checkpoint, options.precision, options.batch)
        settings = {
            "EXECUTION_MODE_HINT": "ACCURACY",  # each layer in the precision of the graph
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": options.cores,
            # A thread that is bound to a core waits for whoever else is there, and all others wait for it.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._compiled: Any = core.compile_model(str(graph), "CPU", settings)
        except RuntimeError as error:
            raise GraphError(f"{graph}: OpenVINO cannot load it: {_reason(error)}") from None

    def outputs(self, images: Array) -> Sequence[Array]:
        outputs = self._compiled([images], share_inputs=True)
        return [outputs[name] for name in OUTPUTS]

    def agreement(self, checkpoint: Checkpoint) -> Agreement:
        """How well what is found in bfloat16 agrees with the weights in float32; looked at once and kept."""
        made_by = {"openvino": self._version, "processor": " ".join(sorted(multiplies("bf16")))}
        return agreement(self, checkpoint, self._batch, made_by)

    def close(self) -> None:
        del self._compiled


def _reason(error: RuntimeError) -> str:
    """The last line of OpenVINO's message, which says what is wrong; those before are places in its sources."""
    return ([line.strip("- ") for line in str(error).splitlines() if line.strip()] or ["no reason given"])[-1]


load = OpenvinoRuntime
