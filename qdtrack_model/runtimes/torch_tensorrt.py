"""Torch-TensorRT: the network compiled from torch.export by TensorRT, run within torch. Needs a GPU to build, too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qdtrack_model.cache import Identity, keep, kept
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.engine_builder import import_package, lacking
from qdtrack_model.runtimes.graph import deployed, graph_identity, uninterrupted
from qdtrack_model.runtimes.interface import Options, RuntimeUnavailable, permitted
from qdtrack_model.runtimes.tensorrt import GPUS
from qdtrack_model.runtimes.torch import TorchRuntime, plain_faults
from qdtrack_model.runtimes.torch import missing as torch_missing

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

PRECISIONS = ("fp16", "fp32", "bf16")
INSTALL = "Torch-TensorRT is not installed: pip install torch-tensorrt, of the version of torch (docs/deployment.md)"


def missing() -> str | None:
    """What this runtime lacks here."""
    absent = lacking("torch_tensorrt", INSTALL) or torch_missing()
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
    build = permitted(lambda path: _compile(checkpoint, options, path), checkpoint, options)
    identity, anew = _identity(checkpoint, options, found), options.optimization_level is not None
    return keep(checkpoint.path.stem, ".pt2", identity, build, anew)


def _identity(checkpoint: Checkpoint, options: Options, found: gpu.Gpu) -> Identity:
    """What a compiled network depends on; a portable one neither on the version of TensorRT nor on the very GPU."""
    of_graph = graph_identity(checkpoint, options.precision, options.batch)
    names = ("torch", "torch_tensorrt") if options.portable else ("torch", "torch_tensorrt", "tensorrt")
    packages = {name: import_package(name).__version__ for name in names}
    target = {"gpus": GPUS} if options.portable else found.identity()
    return {**of_graph, "runtime": "torch_tensorrt", **packages, **target}


def _compile(checkpoint: Checkpoint, options: Options, path: Path) -> None:
    compiler = import_package("torch_tensorrt")
    import torch

    log.info("compiling %s with Torch-TensorRT %s", checkpoint.path.name, compiler.__version__)
    with plain_faults(f"Torch-TensorRT cannot compile {checkpoint.path.name}"):
        images = torch.zeros((options.batch, *checkpoint.config.input_size, 3), dtype=torch.uint8, device="cuda")
        # With gradients on RoIAlign is plain operations, not Triton's kernel, which TensorRT would not take.
        with uninterrupted(), torch.enable_grad():
            program = torch.export.export(deployed(checkpoint, options.precision).cuda(), (images,))
        # One engine or an error: pieces left to torch would be copied to and fro without a word.
        module = compiler.dynamo.compile(
            program,
            inputs=[images],
            require_full_compilation=True,
            min_block_size=1,
            disable_tf32=True,
            hardware_compatible=options.portable,
            version_compatible=options.portable,
            optimization_level=options.optimization_level,
            # By default these lie in a folder of /tmp, for whoever comes first.
            timing_cache_path=str(path.parent / f"torch_tensorrt-{compiler.__version__}.timings"),
        )
        compiler.save(module, str(path), output_format="exported_program", inputs=[images])


class TorchTensorRtRuntime(TorchRuntime):
    """The compiled network on the first GPU, as one CUDA graph.

    Raises:
        CacheError: the compiled network cannot be kept.
        RuntimeUnavailable: it cannot be compiled, loaded or run here; memory may be short.
    """

    name = "torch_tensorrt"

    def _prepare(self, checkpoint: Checkpoint, options: Options) -> Callable[[], Sequence[Tensor]]:
        package = self._known(checkpoint, options) or build(checkpoint, options)
        import_package("torch_tensorrt").runtime.set_cudagraphs_mode(True)
        module = self._torch.export.load(package).module()
        return lambda: self._fetch(module(self._images))

    @staticmethod
    def _known(checkpoint: Checkpoint, options: Options) -> Path | None:
        """What was compiled for the GPU here, or else a portable one, where there is one."""
        found = gpu.find()
        ways = (replace(options, portable=portable) for portable in (False, True)) if found else ()
        files = (kept(checkpoint.path.stem, ".pt2", _identity(checkpoint, way, found)) for way in ways if found)
        return next((path for path in files if path is not None), None)


load = TorchTensorRtRuntime
