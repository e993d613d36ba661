"""Eager torch, on the CPU or on a GPU: the reference that the others are held against."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.graph import deployed
from qdtrack_model.runtimes.interface import (
    GpuImages,
    Options,
    RuntimeUnavailable,
    check_images,
    resident_memory,
    to_detections,
)
from qdtrack_model.structures import Array, Detections

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PRECISIONS = ("fp32", "fp16", "bf16")


def missing() -> str | None:
    """What this runtime lacks here."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed: pip install torch"
    if gpu.find():
        import torch

        if not torch.cuda.is_available():
            return f"torch {torch.__version__} cannot use the GPU: install a torch made for CUDA"
    return None


@contextlib.contextmanager
def plain_faults(task: str) -> Iterator[None]:
    """Make one line, that begins with ``task``, of what torch, its compilers and CUDA raise.

    Raises:
        RuntimeUnavailable: instead of theirs; the GPU's lack of memory comes with advice.
    """
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        if type(error).__module__.startswith("qdtrack_model"):
            raise
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if "out of memory" in str(error):  # torch's own OutOfMemoryError, and what CUDA tells compiled code
            reason = (
                "the GPU's memory is too small; take a smaller batch or input, half precision, or end other programs "
                "that use the GPU"
            )
        raise RuntimeUnavailable(f"{task}: {reason}") from error


class TorchRuntime:
    """The network as it is, on the GPU where there is one.

    Raises:
        RuntimeUnavailable: it cannot be run here; the GPU may have too little memory.
    """

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, options: Options) -> None:
        import torch

        self.config = checkpoint.config
        self._torch, self._batch = torch, options.batch
        cuda = torch.cuda.is_available()
        self.on_gpu = self.takes_gpu_images = cuda
        self._device = torch.device("cuda" if cuda else "cpu")
        place = torch.cuda.get_device_name(0) if cuda else f"cpu, {options.cores} threads"
        self.device = f"{place}, {options.precision}"
        if cuda:
            torch.backends.cudnn.benchmark = True  # shapes never change: the first call looks for the best kernels
            torch.backends.cudnn.allow_tf32 = False  # fp32 is what it says; for speed there are fp16 and bf16
        else:
            torch.set_num_threads(options.cores)
        self._before = self._used()
        self._network: Any = None
        # Only from page-locked memory does the GPU fetch images by itself.
        size = (self._batch, *self.config.input_size, 3)
        self._task = f"{self.name}, {'x'.join(map(str, size))} in {options.precision}"
        self._host = torch.zeros(size, dtype=torch.uint8, pin_memory=cuda)
        self._images = self._host.to(self._device)  # what the network reads; on the CPU the same
        self._fetched: list[Tensor] = []
        # The default stream would wait for all others, and they for it.
        self._stream = torch.cuda.Stream() if cuda else None
        with plain_faults(self._task):
            self._call = self._prepare(checkpoint, options)
            if cuda:
                torch.cuda.synchronize()
        self.memory = 0

    def _prepare(self, checkpoint: Checkpoint, options: Options) -> Callable[[], Sequence[Tensor]]:
        """What computes the outputs, on the CPU, of the images in ``_images``."""
        network = deployed(checkpoint, options.precision)
        network = network.to(self._device, memory_format=self._torch.channels_last)  # type: ignore[call-overload]
        self._network = network
        return lambda: self._fetch(network(self._images))

    def _feed(self, images: Array | GpuImages) -> None:
        """Copy as many images as go through the network together, or fewer, to where it reads them."""
        if isinstance(images, np.ndarray):
            self._host.numpy()[: len(images)] = images
            self._images.copy_(self._host, non_blocking=True)  # nothing, where they are one
        else:
            images.copy_to(self._images.data_ptr(), self._torch.cuda.current_stream().cuda_stream)

    def _fetch(self, outputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Outputs on the CPU, valid until the next call: from a GPU all by one wait, into page-locked memory."""
        if self._device.type == "cpu":
            return outputs
        if not self._fetched:
            self._fetched = [self._torch.empty(x.shape, dtype=x.dtype, pin_memory=True) for x in outputs]
        for host, output in zip(self._fetched, outputs, strict=True):
            host.copy_(output, non_blocking=True)
        self._torch.cuda.current_stream().synchronize()
        return self._fetched

    def _used(self) -> int:
        if self._device.type == "cpu":
            return resident_memory()
        free, total = self._torch.cuda.mem_get_info()
        return total - free

    def warm_up(self) -> None:
        self.infer(np.zeros((self._batch, *self.config.input_size, 3), np.uint8))
        self.memory = max(0, self._used() - self._before)

    def infer(self, images: Array | GpuImages) -> list[Detections]:
        if isinstance(images, np.ndarray):
            check_images(images, self.config)
        rows: list[Any] = []
        for at in range(0, len(images), self._batch):
            with self._torch.inference_mode(), plain_faults(self._task), self._torch.cuda.stream(self._stream):
                self._feed(images[at : at + self._batch])
                outputs = [output.numpy() for output in self._call()]
            rows += [to_detections(row, self.config.score_floor) for row in zip(*outputs, strict=True)]
        return rows[: len(images)]

    def embed(self, images: Array, boxes: Array) -> Array:
        """Embeddings (B, N, D) float32 of given boxes (B, N, 4) in pixels of images (B, H, W, 3); eager torch alone.

        Raises:
            RuntimeUnavailable: the network is compiled, and so finds boxes of its own.
        """
        if self._network is None:
            raise RuntimeUnavailable(f"{self.name} finds boxes of its own; embeddings of given boxes need torch")
        check_images(images, self.config)
        if not boxes.shape[1]:
            return np.zeros((len(images), 0, self.config.embedding_size), np.float32)
        with self._torch.inference_mode(), plain_faults(self._task):
            given = [self._torch.from_numpy(array).to(self._device) for array in (images, boxes)]
            return np.asarray(self._network.network.embed(*given).float().cpu().numpy())

    def close(self) -> None:
        del self._call, self._network
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()


load = TorchRuntime
