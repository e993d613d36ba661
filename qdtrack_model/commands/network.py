"""What subcommands that run or train a network are told of how to do it, and what that stands for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from qdtrack_model.commands.arguments import key_values, positive_integer
from qdtrack_model.pipeline import EgoMotion, Pipeline, TimeUnit
from qdtrack_model.runtimes import PRECISIONS, RUNTIMES, Options

if TYPE_CHECKING:
    import torch


def add_pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    """What :func:`load_pipeline` asks for besides the weights."""
    add = parser.add_argument
    add("--runtime", default="auto", choices=("auto", *RUNTIMES), help="what runs the network [auto]")
    add("--precision", default="auto", choices=("auto", *PRECISIONS), help="what it computes in [the runtime's choice]")
    add("--threads", type=positive_integer, metavar="N", help="CPU threads of the network [the runtime's choice]")
    add("--tracker", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="tracker values other than those tuned for the weights, such as memory_span=2")  # fmt: skip


def load_pipeline(
    args: argparse.Namespace,
    time: TimeUnit = "seconds",
    runtime: str | None = None,
    ego_motion: EgoMotion = "none",
) -> Pipeline:
    """The pipeline of ``args.weights``, by ``runtime`` where that is given; more as of :meth:`Pipeline.load`.

    Raises:
        ConfigError: ``--tracker`` has an unknown key or a bad value.
        CheckpointError, RuntimeUnavailable, ValueError: as :meth:`Pipeline.load`.
    """
    options = Options(runtime or args.runtime, args.precision, args.threads)
    return Pipeline.load(args.weights, options, key_values(args.tracker, "--tracker"), time, ego_motion)


def pipeline_arguments(args: argparse.Namespace, threads: int | None) -> argparse.Namespace:
    """What :func:`load_pipeline` needs of the arguments, to be sent to a worker with so many threads."""
    named = {name: getattr(args, name) for name in ("weights", "runtime", "precision", "tracker")}
    return argparse.Namespace(**named, threads=threads)


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Where torch computes: on a GPU where it sees one."""
    import torch

    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default, choices=("cpu", "cuda"), help=f"[{default}]")


def chosen_device(args: argparse.Namespace) -> torch.device:
    """What ``--device`` stands for.

    Raises:
        ValueError: it is not there.
    """
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here; use --device cpu, or install torch with CUDA")
    return torch.device(args.device)
