"""Eager torch, on the CPU or on a GPU."""

from __future__ import annotations

import numpy as np

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import RuntimeUnavailable, check_images, to_detections
from qdtrack_model.structures import Array, Detections


class TorchRuntime:
    """The network as it is, on the GPU where there is one.

    Raises:
        RuntimeUnavailable: torch is not installed.
    """

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        try:
            import torch
        except ImportError as error:
            raise RuntimeUnavailable(f"torch cannot be imported ({error}); pip install torch") from None
        self.config = checkpoint.config
        self._torch = torch
        cuda = torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        self.device = f"cuda, {torch.cuda.get_device_name(0)}" if cuda else f"cpu, {threads} threads"
        if not cuda:
            torch.set_num_threads(threads)
        self._network = checkpoint.network().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def warm_up(self) -> None:
        self.infer(np.zeros((1, *self.config.input_size, 3), np.uint8))

    def infer(self, images: Array) -> list[Detections]:
        check_images(images, self.config)
        with self._torch.inference_mode():
            outputs = self._network(self._torch.from_numpy(images).to(self._device))
        arrays = [output.cpu().numpy() for output in outputs]
        return [to_detections(row, self.config.score_floor) for row in zip(*arrays, strict=True)]

    def close(self) -> None:
        del self._network
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()
