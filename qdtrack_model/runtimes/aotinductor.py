"""AOTInductor: the network compiled ahead of time by torch, for a CPU or, as one CUDA graph, for a GPU."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdtrack_model.cache import Identity, keep
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.graph import deployed, graph_identity, quiet, uninterrupted
from qdtrack_model.runtimes.interface import Options, RuntimeUnavailable, permitted, release
from qdtrack_model.runtimes.torch import TorchRuntime, plain_faults
from qdtrack_model.runtimes.torch import missing as torch_missing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger(__name__)

PRECISIONS = ("fp16", "bf16", "fp32") if gpu.find() else ("fp32", "bf16")
OLDEST_FOR_GPU = (2, 7)  # torch, whose packages can be called without locks from then on


def missing() -> str | None:
    """What this runtime lacks here."""
    absent = torch_missing()
    compiler = os.environ.get("CXX", "g++")
    if absent is None and shutil.which(compiler) is None:
        absent = f"no C++ compiler ({compiler}): apt install g++, or name yours in CXX"
    if absent is None and gpu.find():
        absent = _missing_for_gpu()
    return absent


def _missing_for_gpu() -> str | None:
    import torch

    if release(torch.__version__) < OLDEST_FOR_GPU:
        return f'torch {torch.__version__} cannot record what it compiled as a CUDA graph: pip install "torch>=2.7"'
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed, which torch compiles for the GPU with: pip install triton"
    from torch.utils.cpp_extension import CUDA_HOME  # as torch looks for it when it compiles

    if CUDA_HOME is None or not Path(CUDA_HOME, "include", "cuda.h").exists():
        return "no CUDA toolkit, whose headers torch compiles with: install it, or name its folder in CUDA_HOME"
    return None


def _cpu() -> str:
    """What a program compiled for the CPU here can run on: its instructions and its model."""
    import torch

    capability = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return capability
    return ", ".join([capability, *(line.split(":")[1].strip() for line in lines if line.startswith("model name"))][:2])


def identity(checkpoint: Checkpoint, precision: str, batch: int) -> Identity:
    """What a compiled package depends on."""
    import torch

    found = gpu.find()
    here = found.identity() if found else {"cpu": _cpu()}
    own = {"runtime": "aotinductor", "torch": torch.__version__, "device": "cuda" if found else "cpu"}
    return {**graph_identity(checkpoint, precision, batch), **own, **here}


def build(checkpoint: Checkpoint, options: Options, capability: str | None = None, progress: bool = False) -> Path:
    """The compiled package for the GPU or CPU here, built where it is not in the cache yet; see ``CompilingModule``.

    It takes a minute or more and shows no progress.

    Raises:
        ValueError: a compute capability that is not that of the GPU here.
        CacheError: the cache folder cannot be written.
        RuntimeUnavailable: it cannot be compiled here.
    """
    absent, found = missing(), gpu.find()
    if absent is not None:
        raise RuntimeUnavailable(absent)
    if options.portable:
        raise ValueError("portable: AOTInductor compiles for the GPU or the CPU here, and no other")
    if options.optimization_level is not None:
        raise ValueError("optimization level: AOTInductor has none, TensorRT's runtimes have")
    if capability is not None and (found is None or capability != found.compute):
        place = f"the GPU here, {found.compute}" if found else "the CPU where there is no GPU"
        raise ValueError(f"compute capability: got {capability}, AOTInductor compiles for {place}")
    precision, batch = options.precision, options.batch

    def compile_to(path: Path) -> None:
        log.info("compiling %s for this machine: this takes a minute or more, once", checkpoint.path.name)
        _compile(checkpoint, precision, batch, path)

    return keep(
        checkpoint.path.stem, ".pt2", identity(checkpoint, precision, batch), permitted(compile_to, checkpoint, options)
    )


def _compile(checkpoint: Checkpoint, precision: str, batch: int, path: Path) -> None:
    import torch
    from torch._inductor import aoti_compile_and_package

    device = "cuda" if gpu.find() else "cpu"
    network = deployed(checkpoint, precision).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.zeros((batch, *checkpoint.config.input_size, 3), dtype=torch.uint8, device=device)
    # Otherwise the number of threads of the machine that compiles is a constant of the program.
    settings = {"cpp.dynamic_threads": True}
    with quiet(), torch.no_grad(), plain_faults(f"aotinductor cannot compile {checkpoint.path.name}"):
        with uninterrupted():
            program = torch.export.export(network, (images,))
        aoti_compile_and_package(program, package_path=str(path), inductor_configs=settings)


@dataclass(frozen=True)
class _Recording:
    """A CUDA graph and the page-locked tensors that it fills; ``read`` is what it reads but does not keep alive."""

    graph: torch.cuda.CUDAGraph
    outputs: list[Tensor]
    read: tuple[object, ...]

    def __call__(self) -> list[Tensor]:
        import torch

        self.graph.replay()
        torch.cuda.current_stream().synchronize()
        return self.outputs


class AotInductorRuntime(TorchRuntime):
    """The compiled network; on a GPU one CUDA graph from the images there to the outputs in page-locked memory.

    Raises:
        CacheError: the compiled package cannot be kept.
        RuntimeUnavailable: it cannot be compiled, or the GPU has too little memory.
    """

    name = "aotinductor"

    def _prepare(self, checkpoint: Checkpoint, options: Options) -> Callable[[], Sequence[Tensor]]:
        from torch._inductor import aoti_load_package

        cuda = self._device.type == "cuda"
        package = build(checkpoint, options)
        if cuda:
            self._torch.cuda.empty_cache()  # what compiling took
            # Locks for callers from several threads would break the capture of a CUDA graph.
            return self._capture(aoti_load_package(str(package), run_single_threaded=True))
        model = aoti_load_package(str(package))
        return lambda: model(self._images)

    def _capture(self, model: Callable[[Tensor], Sequence[Tensor]]) -> Callable[[], Sequence[Tensor]]:
        """Network and copies recorded once: a replay is one launch instead of one for each of hundreds of kernels."""
        torch, images, stream = self._torch, self._images, self._stream
        assert stream is not None
        stream.wait_stream(torch.cuda.current_stream())  # where the images were made
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(3):  # kernels are loaded and chosen at the first calls, which cannot be recorded
                outputs = model(images)
            hosts = [torch.empty(x.shape, dtype=x.dtype, pin_memory=True) for x in outputs]
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            # Other threads of the process may go on using CUDA meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                for host, output in zip(hosts, model(images), strict=True):
                    host.copy_(output, non_blocking=True)

        return _Recording(graph, hosts, (model, images))


load = AotInductorRuntime
