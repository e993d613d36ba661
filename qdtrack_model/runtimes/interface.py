"""What every runtime is, and what runtimes share: options, images into batches, outputs into detections."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.config import ModelConfig
from qdtrack_model.structures import Array, Detections

RUNTIMES = {  # by what a person calls them
    "onnxruntime": "qdtrack_model.runtimes.onnx",
    "openvino": "qdtrack_model.runtimes.openvino",
    "tensorrt": "qdtrack_model.runtimes.tensorrt",
    "tensorrt_rtx": "qdtrack_model.runtimes.tensorrt_rtx",
    "aotinductor": "qdtrack_model.runtimes.aotinductor",
    "torch": "qdtrack_model.runtimes.torch",
    "torch_tensorrt": "qdtrack_model.runtimes.torch_tensorrt",
}
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-fp16")


class RuntimeUnavailable(RuntimeError):
    """A runtime that cannot run here; the text says what is missing."""


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Options:
    """How a network is run.

    Args:
        runtime: ``auto``, ``onnxruntime``, ``openvino``, ``tensorrt``, ``tensorrt_rtx``, ``aotinductor``, ``torch`` or
            ``torch_tensorrt``.
        precision: ``auto`` (what suits runtime and processor; that of the file where it is a graph), ``fp32``,
            ``fp16``, ``bf16``, ``int8`` or ``int8-fp16``; not every runtime has each.
        threads: CPU threads; when None as many as ``OMP_NUM_THREADS`` says, or one for each usable core.
        batch: images that go through the network together.
        fallback: where the runtime cannot be loaded, take another.
        build: build the engine of a compiled runtime where there is none yet; if not, that fails.
        portable: build it for other GPUs, too; whatever there is already is taken either way.
        optimization_level: how much TensorRT tries to make it fast, 0 to 5, where it is built anew for that.
        goes_on: asked now and then while an engine is built; False ends it, where the runtime can be ended.
    """

    runtime: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch: int = 1
    fallback: bool = False
    build: bool = True
    portable: bool = False
    optimization_level: int | None = None
    goes_on: Callable[[], bool] = _always

    def __post_init__(self) -> None:
        if self.runtime not in ("auto", *RUNTIMES):
            raise ValueError(f"runtime: got {self.runtime!r}, expected auto or one of {', '.join(RUNTIMES)}")
        if self.precision not in ("auto", *PRECISIONS):
            raise ValueError(f"precision: got {self.precision!r}, expected auto or one of {', '.join(PRECISIONS)}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads: got {self.threads}, expected 1 or more")
        if self.batch < 1:
            raise ValueError(f"batch: got {self.batch}, expected 1 or more")

    @property
    def cores(self) -> int:
        """CPU threads to use."""
        asked = os.environ.get("OMP_NUM_THREADS", "")
        return self.threads or (int(asked) if asked.isdecimal() else 0) or usable_cores()


class GpuImages(Protocol):
    """Images (B, H, W, 3) uint8 BGR on the GPU."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> GpuImages: ...

    def copy_to(self, device: int, stream: int) -> None:
        """Enqueue a copy of it to an address in a stream, by its handle."""


class Runtime(Protocol):
    """A loaded network.

    Attributes:
        name: one of RUNTIMES.
        device: where and how it computes, for people: ``cpu, 2 threads, fp32``, ``NVIDIA ..., fp16``.
        on_gpu: whether it computes there, and leaves the processor to others meanwhile.
        takes_gpu_images: whether :meth:`infer` also takes a :class:`GpuImages`.
        config: configuration of the network.
        memory: bytes that loading and warming up took, of the GPU where it computes there.
    """

    name: str
    device: str
    on_gpu: bool
    takes_gpu_images: bool
    config: ModelConfig

    @property
    def memory(self) -> int: ...

    def warm_up(self) -> None:
        """Run once with the real shapes, so that the first frame is as fast as the next."""

    def infer(self, images: Any) -> list[Detections]:
        """Images (B, H, W, 3) uint8 BGR of ``config.input_size`` -> detections in pixels of that size, for each.

        Any B is taken; the network runs as often as its own batch asks for.
        """

    def close(self) -> None:
        """Release memory and threads; the runtime cannot be used any more."""


class RuntimeModule(Protocol):
    """What the module of a runtime has."""

    PRECISIONS: tuple[str, ...]

    def missing(self) -> str | None:
        """What has to be installed or present for this runtime, or None where it can run."""

    def load(self, checkpoint: Checkpoint, options: Options) -> Runtime:
        """The network, loaded; ``options.precision`` is one of PRECISIONS."""


class CompilingModule(RuntimeModule, Protocol):
    """What the modules of COMPILED have besides."""

    def build(
        self, checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False
    ) -> Path:
        """What :meth:`load` needs, built into the cache where it is not there yet.

        Args:
            checkpoint: weights or a graph.
            options: ``precision`` is one of PRECISIONS.
            capability: compute capability to build for, such as ``8.9``; that of the GPU here where None.
            progress: show a bar.
        """


def permitted(build: Callable[[Path], None], checkpoint: Checkpoint, options: Options) -> Callable[[Path], None]:
    """``build``, which makes an engine; or where ``options.build`` is off what refuses and names the command for it."""

    def refuse(path: Path) -> None:
        told = f"--runtime {options.runtime} --precision {options.precision} --batch {options.batch}"
        raise RuntimeUnavailable(
            f"{path.name} is not built yet, which takes minutes: run `qdtrack build-engine {checkpoint.path} {told}`"
            " ahead of time, or set build_engine: true"
        )

    return build if options.build else refuse


def release(version: str) -> tuple[int, int]:
    """The first two numbers of a package's version, to be compared: (10, 3) of ``10.3.0``, (2, 13) of ``2.13.0+cpu``.

    Raises:
        ValueError: it has no such two.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise ValueError(f"version: got {version!r}, expected numbers such as 10.3.0")
    return int(found[1]), int(found[2])


def usable_cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def to_detections(outputs: Sequence[Array], floor: float) -> Detections:
    """One image's boxes, scores, labels and embeddings, of fixed size, as the detections that score above ``floor``."""
    rows = outputs[1] > floor
    return Detections(*(output[rows] for output in outputs))


def check_images(images: Array, config: ModelConfig) -> None:
    """Raise ValueError unless images are (B, H, W, 3) uint8 of the network's input size."""
    if images.dtype.name != "uint8" or images.ndim != 4 or images.shape[1:] != (*config.input_size, 3):
        raise ValueError(
            f"images: got {images.dtype} {images.shape}, expected uint8 (batch, {config.input_size[0]}, "
            f"{config.input_size[1]}, 3); the pipeline's preprocessor makes them"
        )


def in_batches(images: Array, size: int) -> list[Array]:
    """Images (B, ...) as parts (size, ...), the last one filled up with its last image."""
    parts = [images[at : at + size] for at in range(0, len(images), size)]
    if parts and len(parts[-1]) < size:
        parts[-1] = np.concatenate([parts[-1], np.repeat(parts[-1][-1:], size - len(parts[-1]), axis=0)])
    return parts


def resident_memory() -> int:
    """Bytes of memory that this process occupies; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
