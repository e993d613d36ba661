"""``qdtrack train``: read the recipe and the data, train, write weights that say where they come from."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from qdtrack_model import checkpoints
from qdtrack_model.commands import INTERRUPTED
from qdtrack_model.commands.arguments import class_names, frame_range, positive_integer
from qdtrack_model.data.held_out import HeldOut, load_held_out
from qdtrack_model.data.loading import find_sets, load_sets
from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.data.samples import SampleSet
from qdtrack_model.drawing.labels import draw_labels
from qdtrack_model.networks import build
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.training.config import TrainConfig, read_recipe
from qdtrack_model.training.log import tensorboard_folder
from qdtrack_model.training.loop import Validation, train
from qdtrack_model.training.start import start_from
from qdtrack_model.validation import validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack train``."""
    parser.add_argument("--config", type=Path, required=True, help="recipe, such as config/training/street.yaml")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        help="data sets, or folders of them; docs/data.md shows how each is laid out",
    )
    parser.add_argument("--frames", type=frame_range, metavar="FIRST-LAST", help="train on these frames alone")
    parser.add_argument("--init", help="weights to start from: a name, a file, a public .pth; the rest starts afresh")
    parser.add_argument(
        "--classes", type=class_names, metavar="NAME,...",
        help="of a public file for --init: those that stand for the recipe's, such as person,car of COCO's 80",
    )  # fmt: skip
    anyway = "start from them although their style, normalisation or classes are not the recipe's"
    parser.add_argument("--init-anyway", action="store_true", help=anyway)
    parser.add_argument("--output", type=Path, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--half", action="store_true", help="store the weights in half precision: half the size")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    parser.add_argument("--validate", type=Path, nargs="+", default=[], metavar="PATH",
        help="sets and sequences by which the output is chosen: it holds the best weights so far")  # fmt: skip
    parser.add_argument("--validate-every", type=positive_integer, default=500, metavar="STEPS", help="[500]")
    parser.add_argument("--show", type=positive_integer, metavar="N",
        help="write N pictures of what the network would be fed beside the output, and stop")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on where the last run with this output stopped")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default, choices=("cpu", "cuda"), help=f"[{default}]")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare data (0: none)")


def _check(args: argparse.Namespace) -> None:
    """Raise ValueError for what would only fail after the data is read, or after the last step."""
    if args.output.exists() and not args.output.is_file():
        raise ValueError(f"--output {args.output}: is a folder or a device, expected a file to write")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here; use --device cpu, or install torch with CUDA")
    if args.classes and not args.init:
        raise ValueError("--classes chooses among those of a file for --init, and there is none")
    if args.workers < 0:
        raise ValueError(f"--workers: got {args.workers}, expected 0 or more")


def show(sets: Sequence[SampleSet], config: TrainConfig, count: int, folder: Path) -> None:
    """Write pictures of the first pairs that a training is fed: key beside reference, with what is labelled."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("pair-*.png"):
        old.unlink()
    pairs = FramePairs(sets, config.pairs, config.seed, count, config.model.padding)
    for item in range(count):
        drawn = [draw_labels(view.image, **vars(view.objects), classes=config.model.classes) for view in pairs[item]]
        (folder / f"pair-{item:04d}.png").write_bytes(cv2.imencode(".png", np.hstack(drawn))[1].tobytes())


@dataclass(frozen=True)
class Output:
    """The weights file that a training writes.

    Args:
        path: of the file.
        config: the recipe.
        provenance: what is known of the training beforehand.
        half: in half precision.
    """

    path: Path
    config: TrainConfig
    provenance: Mapping[str, Any]
    half: bool

    def write(self, path: Path, network: nn.Module, step: int) -> None:
        """Write the weights that ``network`` has after a step."""
        provenance = {**self.provenance, "step": step}
        checkpoints.save(path, network, self.config.model, self.config.tracker, provenance, half=self.half)

    def judge(self, held_out: HeldOut, network: nn.Module, step: int, best: float) -> tuple[float, dict[str, float]]:
        """Score ``network`` as a robot would run it, from a file; it becomes the output where it beats ``best``."""
        candidate = self.path.with_suffix(".candidate.safetensors")
        self.write(candidate, network, step)
        try:
            # As many threads as the training has: torch knows only one number of them.
            pipeline = Pipeline.load(candidate, Options("torch", threads=torch.get_num_threads()))
            try:
                report = validate(pipeline, held_out)
            finally:
                pipeline.close()
            better = report.score > best or not self.path.exists()
            if better:
                os.replace(candidate, self.path)
        finally:
            candidate.unlink(missing_ok=True)
        tqdm.write(f"step {step}: {report.summary()}{', the best so far' if better else ''}")
        return report.score, report.values()


def main(args: argparse.Namespace) -> int:
    """Train; returns 0. Ctrl-C keeps the state for ``--resume``."""
    _check(args)
    config = read_recipe(args.config)
    given = {name: getattr(args, name) for name in ("steps", "seed") if getattr(args, name) is not None}
    config = dataclasses.replace(config, **given)
    folders = find_sets(args.data, config.data)
    if args.show:
        pictures = args.output.with_suffix(".show")
        show(load_sets(folders, config.model, config.data, args.frames), config, args.show, pictures)
        print(f"{args.show} pictures of what the network would be fed: {pictures}/")
        return 0
    torch.manual_seed(config.seed)
    network = build(config.model)
    if args.init:
        fresh = start_from(network, config.model, args.init, args.classes, args.init_anyway)
        print(f"starting from {args.init}; afresh: {', '.join(fresh) or 'nothing'}")
    sets = load_sets(folders, config.model, config.data, args.frames)
    images = sum(len(part.samples) for part in sets)
    print(f"{len(sets)} sets, {images} images, {config.steps} steps of {config.batch} pairs on {args.device}")
    provenance = {
        "command": shlex.join(["qdtrack", *sys.argv[1:]]),
        "data": [folder.name for folder in folders],
        "images": images,
        "seed": config.seed,
        "steps": config.steps,
        "torch": torch.__version__,
    }
    output, validation = Output(args.output, config, provenance, args.half), None
    if args.validate:
        judges = find_sets(args.validate, config.data)
        held_out = load_held_out(judges, config.model, config.data, sets, args.frames)
        validation = Validation(args.validate_every, held_out.fingerprint(), partial(output.judge, held_out))
    state_path, log_path = args.output.with_suffix(".state.pt"), args.output.with_suffix(".csv")
    state_path.parent.mkdir(parents=True, exist_ok=True)
    board = tensorboard_folder(log_path)
    print(
        f"log: {log_path}" + (f", {board}/" if board else " (for TensorBoard, too: pip install 'qdtrack[tensorboard]')")
    )
    device = torch.device(args.device)
    try:
        trained = train(config, sets, network, state_path, device, args.workers, args.resume, validation, log_path)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {state_path} holds the state: run the same command with --resume", file=sys.stderr)
        return INTERRUPTED
    if validation is None:
        output.write(args.output, trained, config.steps)
    print(f"wrote {args.output}: step {checkpoints.load(args.output).provenance['step']}")
    return 0
