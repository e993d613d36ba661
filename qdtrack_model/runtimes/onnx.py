"""ONNX Runtime on the CPU."""

from __future__ import annotations

import numpy as np

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import RuntimeUnavailable, check_images, to_detections
from qdtrack_model.runtimes.export import OUTPUTS, CacheError, cached_onnx
from qdtrack_model.structures import Array, Detections


class OnnxRuntime:
    """The exported graph in an ONNX Runtime session; a batch runs image by image, as one image fills the cores.

    Raises:
        RuntimeUnavailable: onnxruntime is not installed.
        CacheError: the exported graph cannot be kept, or the one kept is damaged.
    """

    name = "onnxruntime"

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise RuntimeUnavailable(f"onnxruntime cannot be imported ({error}); pip install onnxruntime") from None
        self.config = checkpoint.config
        self.device = f"cpu, {threads} threads"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Threads that spin between frames take the cores from decoding and from the other nodes of the vehicle.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = cached_onnx(checkpoint)
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds share no other base
            reason = str(error).splitlines()[0]
            raise CacheError(f"{graph}: cannot be loaded ({reason}); remove it: it is exported again") from None

    def warm_up(self) -> None:
        self.infer(np.zeros((1, *self.config.input_size, 3), np.uint8))

    def infer(self, images: Array) -> list[Detections]:
        check_images(images, self.config)
        detections = []
        for image in images:
            outputs = self._session.run(OUTPUTS, {"images": image[None]})
            detections.append(to_detections([output[0] for output in outputs], self.config.score_floor))
        return detections

    def close(self) -> None:
        del self._session
