"""Torch-TensorRT: the network compiled from torch.export by TensorRT, run within torch. Needs a GPU to build, too."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import Options, RuntimeUnavailable, check_images, gpu, in_batches, to_detections
from qdtrack_model.runtimes.cache import keep
from qdtrack_model.runtimes.engine_builder import EngineError, import_package, lacking
from qdtrack_model.runtimes.export import deployed, graph_identity
from qdtrack_model.structures import Array, Detections

log = logging.getLogger(__name__)

PRECISIONS = ("fp16", "fp32", "bf16")
INSTALL = "Torch-TensorRT is not installed: pip install torch-tensorrt, of the version of torch (docs/deployment.md)"


def missing() -> str | None:
    """What this runtime lacks here."""
    absent = lacking("torch_tensorrt", INSTALL)
    if absent is None and gpu.find() is None:
        absent = "Torch-TensorRT needs an NVIDIA GPU and its driver, and there is none here"
    return absent


def build(checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False) -> Path:
    """The compiled network for the GPU here, built where it is not in the cache yet; see ``CompilingModule``.

    Torch-TensorRT shows no progress.
    """
    absent, found = missing(), gpu.find()
    if absent is not None or found is None:
        raise RuntimeUnavailable(str(absent))
    if capability not in (None, found.compute):
        raise ValueError(
            f"compute capability: got {capability}, Torch-TensorRT builds for the GPU here, {found.compute}"
        )
    packages = {name: import_package(name).__version__ for name in ("torch", "torch_tensorrt", "tensorrt")}
    of_graph = graph_identity(checkpoint, options.precision, options.batch)
    identity = {**of_graph, "runtime": "torch_tensorrt", **packages, **found.identity()}
    return keep(checkpoint.path.stem, ".pt2", identity, lambda path: _compile(checkpoint, options, path))


def _compile(checkpoint: Checkpoint, options: Options, path: Path) -> None:
    compiler = import_package("torch_tensorrt")
    import torch

    log.info("compiling %s with Torch-TensorRT %s", checkpoint.path.name, compiler.__version__)
    images = torch.zeros((options.batch, *checkpoint.config.input_size, 3), dtype=torch.uint8, device="cuda")
    try:
        program = torch.export.export(deployed(checkpoint, options.precision).cuda(), (images,))
        # One engine or an error: pieces left to torch would be copied to and fro without a word.
        module = compiler.dynamo.compile(
            program, inputs=[images], require_full_compilation=True, min_block_size=1, disable_tf32=True
        )
        compiler.save(module, str(path), output_format="exported_program", inputs=[images])
    except RuntimeError as error:
        raise _plain(f"{checkpoint.path}: Torch-TensorRT cannot compile it", error) from None


def _plain(what: str, error: RuntimeError) -> EngineError:
    return EngineError(f"{what}: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")


class TorchTensorRt:
    """The compiled network on the first GPU, as one CUDA graph.

    Raises:
        EngineError: it cannot be compiled, loaded or run here; memory may be short.
    """

    name = "torch_tensorrt"

    def __init__(self, checkpoint: Checkpoint, options: Options) -> None:
        self._path = build(checkpoint, options)
        compiler = import_package("torch_tensorrt")
        import torch

        self.config = checkpoint.config
        self.device = f"{torch.cuda.get_device_name(0)}, {options.precision}"
        self._torch, self._batch = torch, options.batch
        self._free = torch.cuda.mem_get_info()[0]
        compiler.runtime.set_cudagraphs_mode(True)
        try:
            self._module: Any = torch.export.load(self._path).module()
            shape = (options.batch, *self.config.input_size, 3)
            self._host = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            self._images = torch.empty(shape, dtype=torch.uint8, device="cuda")
        except RuntimeError as error:
            raise _plain(f"{self._path}: Torch-TensorRT cannot load it", error) from None
        self.memory = 0

    def warm_up(self) -> None:
        self.infer(np.zeros((self._batch, *self.config.input_size, 3), np.uint8))
        self.memory = max(0, self._free - self._torch.cuda.mem_get_info()[0])

    def infer(self, images: Array) -> list[Detections]:
        check_images(images, self.config)
        rows: list[Any] = []
        for part in in_batches(images, self._batch):
            self._host.copy_(self._torch.from_numpy(part))
            try:
                with self._torch.inference_mode():
                    self._images.copy_(self._host, non_blocking=True)
                    outputs = [output.cpu().numpy() for output in self._module(self._images)]
            except RuntimeError as error:
                raise _plain(f"{self._path}: Torch-TensorRT cannot run it", error) from None
            rows += zip(*outputs, strict=True)
        return [to_detections(row, self.config.score_floor) for row in rows[: len(images)]]

    def close(self) -> None:
        del self._module, self._images, self._host
        self._torch.cuda.empty_cache()


load = TorchTensorRt
