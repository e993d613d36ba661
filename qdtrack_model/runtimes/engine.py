"""A TensorRT engine in its place: loaded, fed, and run as one CUDA graph. No torch in the process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.cache import Identity, kept
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.cuda.calls import CudaError
from qdtrack_model.runtimes.cuda.memory import Buffer
from qdtrack_model.runtimes.cuda.stream import PIECEWISE, Recording, Stream
from qdtrack_model.runtimes.engine_builder import EngineError, UnfitEngine, create, engine_identity, listen
from qdtrack_model.runtimes.graph import OUTPUTS
from qdtrack_model.runtimes.interface import GpuImages, Options, check_images, to_detections
from qdtrack_model.structures import Array, Detections

log = logging.getLogger(__name__)

INPUT = "images"


def load_engine(
    trt: Any, checkpoint: Checkpoint, options: Options, own: Identity, portable: Identity, build: Callable[[], Path]
) -> EngineRuntime:
    """The engine for the GPU here; where there is none but a portable one, that; where there is none, it is built.

    Args:
        trt: the package ``tensorrt`` or ``tensorrt_rtx``.
        checkpoint: weights or a graph.
        options: with which precision and batch.
        own: the GPUs that the first is good for.
        portable: those of the second; with ``version`` where it is for later ones, too, and so brings a runtime.
        build: makes the first, or gives it where it is there.
    """

    def there(target: Identity) -> Path | None:
        return kept(checkpoint.path.stem, ".engine", engine_identity(trt, checkpoint, options, target))

    path = there(portable) if there(own) is None else None
    if path is not None:
        try:
            return EngineRuntime(trt, path, checkpoint, options, host_code="version" in portable)
        except UnfitEngine as error:  # as of a later version than is here
            log.warning("%s; one for this GPU is taken instead", error)
    return EngineRuntime(trt, build(), checkpoint, options)


class EngineRuntime:
    """An engine on the first GPU; one thread at a time.

    Args:
        trt: the package ``tensorrt`` or ``tensorrt_rtx``.
        path: the engine.
        checkpoint: what it was built from.
        options: with which precision and batch.
        host_code: whether it brings a runtime of its own, to be executed: engines for later versions do.

    Raises:
        EngineError: the engine cannot be loaded or run here; memory may be short.
    """

    on_gpu = takes_gpu_images = True

    def __init__(self, trt: Any, path: Path, checkpoint: Checkpoint, options: Options, host_code: bool = False) -> None:
        found = gpu.find()
        self._host_code = host_code
        self.name = trt.__name__
        self.config = checkpoint.config
        self.device = f"{found.name if found else 'no GPU'}, {options.precision}"
        self._trt, self._path, self._batch = trt, path, options.batch
        self._messages = listen(trt)
        with contextlib.ExitStack() as resources:
            self._load(resources)
            self._resources = resources.pop_all()

    def _load(self, resources: contextlib.ExitStack) -> None:
        try:
            self._stream = Stream()
            resources.callback(self._stream.close)
            self._open()
            resources.callback(self._forget)  # last in, first out: after the buffers, before the stream
            self._buffers = {name: self._buffer(name, resources) for name in (INPUT, *OUTPUTS)}
            for name, buffer in self._buffers.items():
                self._context.set_tensor_address(name, buffer.device)
            self._enqueue()  # the first run does what cannot be recorded
            self._stream.synchronize()
        except CudaError as error:
            raise EngineError(f"{self._path}: {error}") from None
        self._keep_kernels()
        self._recording = self._record()
        if self._recording is not None:
            resources.callback(self._recording.close)
        sizes = sum(buffer.size for buffer in self._buffers.values())
        self.memory = self._path.stat().st_size + self._engine.device_memory_size_v2 + sizes

    def _record(self) -> Recording | None:
        # TensorRT for RTX tells of networks that it cannot run while recording.
        capturable = getattr(self._context, "is_stream_capturable", lambda handle: True)
        if capturable(self._stream.handle):
            return self._stream.record(self._enqueue)
        log.warning("%s%s cannot run this network while recording", PIECEWISE, self.name)
        return None

    def _open(self) -> None:
        """Load the engine and make a context to run it in."""
        self._runtime = create(self._trt, "Runtime", self._messages)
        if self._host_code:
            self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(self._path.read_bytes())
        if self._engine is None:
            raise UnfitEngine(
                f"{self._path}: {self.name} {self._trt.__version__} cannot load this engine: "
                f"{self._messages.first_error()}; delete it to have it built again"
            )
        height, width = self.config.input_size
        shape = tuple(self._engine.get_tensor_shape(INPUT))
        if shape != (self._batch, height, width, 3):
            raise UnfitEngine(f"{self._path}: takes images {shape}, expected {(self._batch, height, width, 3)}")
        self._context = self._make_context()
        if self._context is None:
            raise EngineError(
                f"{self._path}: {self.name} has no room for it or cannot run it: {self._messages.first_error()}"
            )

    def _make_context(self) -> Any:
        """A context; with TensorRT for RTX one that keeps the kernels that it finishes for this GPU."""
        self._settings: Any = None
        self._kernels: Any = None
        if not hasattr(self._trt, "IRuntimeCache"):
            return self._engine.create_execution_context()
        # Both live as long as the context: nobody says that it keeps them alive.
        self._settings = self._engine.create_runtime_config()
        self._kernels = self._settings.create_runtime_cache()
        with contextlib.suppress(OSError):  # there is none before the first run
            self._kernels.deserialize(self._kernels_path.read_bytes())
        self._settings.set_runtime_cache(self._kernels)
        return self._engine.create_execution_context(self._settings)

    @property
    def _kernels_path(self) -> Path:
        return self._path.with_suffix(".kernels")

    def _keep_kernels(self) -> None:
        """Spare the next start their compilation; TensorRT checks by itself that they fit the GPU and the driver."""
        made = self._kernels.serialize() if self._kernels is not None else None
        if made is None:
            return
        content = bytes(memoryview(made))
        with contextlib.suppress(OSError):  # a read-only folder: they are made again next time
            if not self._kernels_path.exists() or self._kernels_path.read_bytes() != content:
                with atomic_write(self._kernels_path) as partial:
                    partial.write_bytes(content)

    def _buffer(self, name: str, resources: contextlib.ExitStack) -> Buffer:
        shape = tuple(self._engine.get_tensor_shape(name))
        buffer = Buffer(name, shape, np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))))
        resources.callback(buffer.close)
        return buffer

    def _enqueue(self) -> None:
        """Enqueue one frame: network, results back."""
        if not self._context.execute_async_v3(self._stream.handle):
            raise EngineError(f"{self._path}: {self.name} cannot run it: {self._messages.first_error()}")
        for name in OUTPUTS:
            self._stream.download(self._buffers[name])

    def _forget(self) -> None:
        # Each before what it was made by.
        del self._context, self._kernels, self._settings, self._engine, self._runtime

    def warm_up(self) -> None:
        self.infer(np.zeros((self._batch, *self.config.input_size, 3), np.uint8))

    def _feed(self, images: Array | GpuImages) -> None:
        """Enqueue the copy of as many images as go through the network together, or fewer, into its input."""
        buffer = self._buffers[INPUT]
        if isinstance(images, np.ndarray):
            buffer.array[: len(images)] = images
            self._stream.upload(buffer)
        else:
            images.copy_to(buffer.device, self._stream.handle)

    def infer(self, images: Array | GpuImages) -> list[Detections]:
        if isinstance(images, np.ndarray):
            check_images(images, self.config)
        found: list[Detections] = []
        for at in range(0, len(images), self._batch):
            try:
                self._feed(images[at : at + self._batch])
                if self._recording is not None:
                    self._recording.replay()
                else:
                    self._enqueue()
                self._stream.synchronize()
            except CudaError as error:
                raise EngineError(f"{self._path}: {error}") from None
            rows = zip(*(self._buffers[name].array for name in OUTPUTS), strict=True)
            found += [to_detections(row, self.config.score_floor) for row in rows]
        return found[: len(images)]

    def close(self) -> None:
        self._resources.close()
