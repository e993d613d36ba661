"""Eager torch, on the CPU or on a GPU."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import Options, check_images, in_batches, resident_memory, to_detections
from qdtrack_model.runtimes.export import deployed
from qdtrack_model.structures import Array, Detections

PRECISIONS = ("fp32", "fp16", "bf16")


def missing() -> str | None:
    """What this runtime lacks here."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed: pip install torch"
    return None


class TorchRuntime:
    """The network as it is, on the GPU where there is one."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, options: Options) -> None:
        import torch

        self.config = checkpoint.config
        self._torch, self._batch = torch, options.batch
        cuda = torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        place = torch.cuda.get_device_name(0) if cuda else f"cpu, {options.cores} threads"
        self.device = f"{place}, {options.precision}"
        if not cuda:
            torch.set_num_threads(options.cores)
        self._before = self._used()
        network = deployed(checkpoint, options.precision)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.memory = 0

    def _used(self) -> int:
        return self._torch.cuda.memory_reserved() if self._device.type == "cuda" else resident_memory()

    def warm_up(self) -> None:
        self.infer(np.zeros((self._batch, *self.config.input_size, 3), np.uint8))
        self.memory = max(0, self._used() - self._before)

    def infer(self, images: Array) -> list[Detections]:
        check_images(images, self.config)
        rows: list[Any] = []
        for part in in_batches(images, self._batch):
            with self._torch.inference_mode():
                outputs = self._network(self._torch.from_numpy(part).to(self._device))
            rows += zip(*(output.cpu().numpy() for output in outputs), strict=True)
        return [to_detections(row, self.config.score_floor) for row in rows[: len(images)]]

    def close(self) -> None:
        del self._network
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()


load = TorchRuntime
