"""ONNX Runtime on the CPU, and what it shares with OpenVINO."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes.graph import OUTPUTS, GraphError, graph_of
from qdtrack_model.runtimes.interface import Options, check_images, in_batches, resident_memory, to_detections
from qdtrack_model.structures import Array, Detections

PRECISIONS = ("fp32", "int8")  # in half precision ONNX Runtime computes in float32, slower, on CPUs


def missing() -> str | None:
    """What this runtime lacks here."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed: pip install onnxruntime"
    return None


class CpuGraphRuntime(ABC):
    """An exported graph that something runs on the CPU.

    Args:
        checkpoint: weights or a graph.
        options: precision, batch and threads.

    Raises:
        CacheError: the exported graph cannot be kept.
        GraphError: a graph that cannot be loaded.
    """

    on_gpu = takes_gpu_images = False

    def __init__(self, checkpoint: Checkpoint, options: Options) -> None:
        self.config = checkpoint.config
        self.device = f"cpu, {options.cores} threads, {options.precision}"
        self.memory = 0
        self._batch = options.batch
        self._before = resident_memory()
        self._open(checkpoint, options)

    @abstractmethod
    def _open(self, checkpoint: Checkpoint, options: Options) -> None:
        """Load the graph."""

    @abstractmethod
    def outputs(self, images: Array) -> Sequence[Array]:
        """Images (batch, H, W, 3) -> OUTPUTS, each (batch, ...)."""

    @abstractmethod
    def close(self) -> None:
        """Release what was loaded."""

    def warm_up(self) -> None:
        self.infer(np.zeros((self._batch, *self.config.input_size, 3), np.uint8))
        self.memory = max(0, resident_memory() - self._before)

    def infer(self, images: Array) -> list[Detections]:
        check_images(images, self.config)
        rows: list[Any] = []
        for part in in_batches(images, self._batch):
            rows += zip(*self.outputs(part), strict=True)
        return [to_detections(row, self.config.score_floor) for row in rows[: len(images)]]


class OnnxRuntime(CpuGraphRuntime):
    """The exported graph in an ONNX Runtime session."""

    name = "onnxruntime"

    def _open(self, checkpoint: Checkpoint, options: Options) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.cores
        settings.log_severity_level = 3
        # Threads that spin between frames take the cores from decoding and from the other nodes of the vehicle.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = graph_of(checkpoint, options.precision, options.batch)
        try:
            self._session = onnxruntime.InferenceSession(str(graph), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds share no other base
            raise GraphError(f"{graph}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from None

    def outputs(self, images: Array) -> Sequence[Array]:
        outputs: Sequence[Array] = self._session.run(OUTPUTS, {"images": images})
        return outputs

    def close(self) -> None:
        del self._session


load = OnnxRuntime
