"""``qdtrack build-engine``: compile a network ahead of time, so that a vehicle starts at once."""

from __future__ import annotations

import argparse
import logging
import re

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.cache import manifest_path, read_manifest
from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.runtimes import Options, RuntimeUnavailable, gpu


def _capability(text: str) -> str:
    """Parse a compute capability: ``8.9``."""
    if not re.fullmatch(r"\d+\.\d", text):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a compute capability such as 8.9")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack build-engine``."""
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="a name (`qdtrack weights` lists them), a .safetensors file or an exported .onnx",
    )
    parser.add_argument("--runtime", choices=runtimes.COMPILED, help="default: the best that can run here")
    parser.add_argument("--precision", choices=("auto", *runtimes.PRECISIONS), default="auto")
    parser.add_argument(
        "--batch", type=positive_integer, metavar="N", help="images at once (default: 1, or that of the graph)"
    )
    parser.add_argument(
        "--compute-capability", type=_capability, metavar="X.Y",
        help="of the GPU to build for (default: the one here); with tensorrt_rtx no GPU is needed then",
    )  # fmt: skip
    parser.add_argument(
        "--portable", action="store_true",
        help="one engine for many GPUs, to be copied to robots: of tensorrt_rtx for all that it knows, of tensorrt and "
        "torch_tensorrt for compute capability 8.0 or newer and later versions of TensorRT, where it may be slower",
    )  # fmt: skip
    parser.add_argument(
        "--optimization-level", type=int, choices=range(6), metavar="0-5",
        help="build anew, TensorRT trying more or less to make it fast, in more or less time (its own: 3)",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Build, and say what was built, where it is and from what."""
    logging.getLogger("qdtrack_model").setLevel(logging.INFO)
    checkpoint = checkpoints.load(args.weights)
    batch = args.batch or (checkpoint.graph.batch if checkpoint.graph else 1)
    elsewhere = args.compute_capability or (args.portable and gpu.find() is None)
    runtime = args.runtime or ("tensorrt_rtx" if elsewhere else _best())
    options = Options(
        runtime, args.precision, batch=batch, portable=args.portable, optimization_level=args.optimization_level
    )
    path, options = runtimes.build(checkpoint, options, args.compute_capability, progress=True)
    manifest = read_manifest(path) or {}
    print(f"engine: {path}")
    print(f"manifest: {manifest_path(path)}")
    for key, value in manifest.get("identity", {}).items():
        print(f"  {key}: {value}")
    print(f"  {manifest.get('bytes', 0) / 1e6:.1f} MB, built {manifest.get('built')} in {manifest.get('seconds')} s")
    return 0


def _best() -> str:
    """The first runtime that compiles and can run here."""
    reasons = []
    for name in runtimes.ON_GPU:
        if name in runtimes.COMPILED:
            lacking = runtimes.module_of(name).missing()
            if lacking is None and gpu.find() is None:
                lacking = f"only for the CPU, with --runtime {name}"
            if lacking is None:
                return name
            reasons.append(f"{name}: {lacking}")
    raise RuntimeUnavailable(f"no GPU to build for; name one with --compute-capability X.Y ({'; '.join(reasons)})")
