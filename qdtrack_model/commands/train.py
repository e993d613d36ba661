"""``qdtrack train``: read the recipe and the data, train, write weights that say where they come from."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

import torch
from torch import nn

from qdtrack_model import checkpoints
from qdtrack_model.commands import INTERRUPTED
from qdtrack_model.commands.arguments import frame_range
from qdtrack_model.config import ModelConfig, architecture_of
from qdtrack_model.data.loading import find_sets, load_sets
from qdtrack_model.networks import build
from qdtrack_model.training.config import read_recipe
from qdtrack_model.training.loop import train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack train``."""
    parser.add_argument("--config", type=Path, required=True, help="recipe, such as config/training/street.yaml")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        help="MOTChallenge sequences, sets of stills in COCO form, or folders of them",
    )
    parser.add_argument("--frames", type=frame_range, metavar="FIRST-LAST", help="train on these frames alone")
    parser.add_argument("--init", help="weights to start from (name or path); other heads start afresh")
    anyway = "start from them although their style, normalisation or classes are not the recipe's"
    parser.add_argument("--init-anyway", action="store_true", help=anyway)
    parser.add_argument("--output", type=Path, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--half", action="store_true", help="store the weights in half precision: half the size")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on where the last run with this output stopped")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default, choices=("cpu", "cuda"), help=f"[{default}]")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare data (0: none)")


def disagreements(own: ModelConfig, given: ModelConfig) -> list[str]:
    """By what weights of the network ``given`` mean something else in the network ``own``, though names and shapes fit.

    Classes count where there are equally many: otherwise the heads that know them do not fit and start afresh.
    """
    if type(own) is not type(given):
        return [f"architecture {architecture_of(given)!r}, expected {architecture_of(own)!r}"]
    found = [
        f"{key} {getattr(given, key)!r}, expected {getattr(own, key)!r}"
        for key in ("style", "channel_order", "mean", "deviation")
        if getattr(given, key, None) != getattr(own, key, None)
    ]
    if len(own.classes) == len(given.classes):
        pairs = enumerate(zip(given.classes, own.classes, strict=True))
        found += [f"class {i} {theirs!r}, expected {ours!r}" for i, (theirs, ours) in pairs if theirs != ours][:1]
    return found


def initialise(network: nn.Module, source: checkpoints.Checkpoint) -> list[str]:
    """Copy every tensor that fits from other weights; return the names of those that did not."""
    given, own = source.network().state_dict(), network.state_dict()
    fitting = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict(fitting, strict=False)
    return sorted(own.keys() - fitting.keys())


def _check(args: argparse.Namespace) -> None:
    """Raise ValueError for what would only fail after the data is read, or after the last step."""
    if args.output.exists() and not args.output.is_file():
        raise ValueError(f"--output {args.output}: is a folder or a device, expected a file to write")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here; use --device cpu, or install torch with CUDA")
    if args.workers < 0:
        raise ValueError(f"--workers: got {args.workers}, expected 0 or more")


def main(args: argparse.Namespace) -> int:
    """Train; returns 0. Ctrl-C keeps the state for ``--resume``."""
    _check(args)
    config = read_recipe(args.config)
    given = {name: getattr(args, name) for name in ("steps", "seed") if getattr(args, name) is not None}
    config = dataclasses.replace(config, **given)
    torch.manual_seed(config.seed)
    network = build(config.model)
    if args.init:
        source = checkpoints.load(args.init)
        if not args.init_anyway and (wrong := disagreements(config.model, source.config)):
            remedy = "choose weights or a recipe that fit, or start from them all the same with --init-anyway"
            raise ValueError(f"--init {args.init}: {'; '.join(wrong)}; {remedy}")
        fresh = initialise(network, source)
        print(f"starting from {args.init}; afresh: {', '.join(fresh) or 'nothing'}")
    folders = find_sets(args.data)
    sets = load_sets(folders, config.model, config.data, args.frames)
    images = sum(len(part.samples) for part in sets)
    print(f"{len(sets)} sets, {images} images, {config.steps} steps of {config.batch} pairs on {args.device}")
    state_path = args.output.with_suffix(".state.pt")
    state_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        trained = train(config, sets, network, state_path, torch.device(args.device), args.workers, args.resume)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {state_path} holds the state: run the same command with --resume", file=sys.stderr)
        return INTERRUPTED
    provenance = {
        "command": shlex.join(["qdtrack", *sys.argv[1:]]),
        "data": [folder.name for folder in folders],
        "images": images,
        "seed": config.seed,
        "steps": config.steps,
        "torch": torch.__version__,
    }
    checkpoints.save(args.output, trained, config.model, config.tracker, provenance, half=args.half)
    print(f"wrote {args.output}")
    return 0
