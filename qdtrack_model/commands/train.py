"""``qdtrack train``: read the recipe and the data, train, write weights that say where they come from."""

from __future__ import annotations

import argparse
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
from qdtrack_model.commands.arguments import frame_range, key_values, positive_integer
from qdtrack_model.commands.network import add_device_argument, chosen_device
from qdtrack_model.data.held_out import HeldOut, load_held_out
from qdtrack_model.data.loading import find_sets, load_sets
from qdtrack_model.data.samples import SampleSet
from qdtrack_model.drawing.labels import draw_labels
from qdtrack_model.networks import build
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.training.batches import frame_pairs
from qdtrack_model.training.config import TrainConfig, read_recipe
from qdtrack_model.training.log import tensorboard_folder
from qdtrack_model.training.loop import Validation, train
from qdtrack_model.training.processes import is_first_process, process_count
from qdtrack_model.training.schedule import epoch_images, make_schedule
from qdtrack_model.training.start import start_from
from qdtrack_model.validation import validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack train``."""
    parser.add_argument("config", type=Path, metavar="RECIPE", help="such as config/training/street.yaml")
    parser.add_argument(
        "changes", nargs="*", metavar="KEY=VALUE",
        help="instead of the recipe's, such as data.root=scenes/ batch=4 pairs.reference_range=10 init=street",
    )  # fmt: skip
    parser.add_argument("--frames", type=frame_range, metavar="FIRST-LAST", help="train on these frames alone")
    parser.add_argument("--output", type=Path, help="weights file to write [RECIPE.safetensors in the current folder]")
    parser.add_argument("--half", action="store_true", help="store the weights in half precision: half the size")
    parser.add_argument("--validate", type=Path, nargs="+", default=[], metavar="PATH",
        help="sets and sequences by which the output is chosen: it holds the best weights so far")  # fmt: skip
    parser.add_argument("--validate-every", type=positive_integer, default=500, metavar="STEPS", help="[500]")
    parser.add_argument("--show", type=positive_integer, metavar="N",
        help="write N pictures of what the network would be fed beside the output, and stop")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on where the last run with this output stopped")
    add_device_argument(parser)
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare data (0: none)")


def _check(args: argparse.Namespace, config: TrainConfig) -> None:
    """Raise ValueError for what would only fail after the data is read, or after the last step."""
    if not config.data.root:
        raise ValueError("data.root: the recipe does not say where the data are; give data.root=FOLDER")
    frozen = getattr(config, "frozen", "none") != "none" or getattr(config, "freeze_detector", False)
    if frozen and config.init is None and not (args.resume or args.show):
        raise ValueError("init: none, and what is frozen would keep random weights; give init=WEIGHTS")
    if args.output.exists() and not args.output.is_file():
        raise ValueError(f"--output {args.output}: is a folder or a device, expected a file to write")
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output {args.output}: {args.output.parent}: {error.strerror}") from None
    if args.workers < 0:
        raise ValueError(f"--workers: got {args.workers}, expected 0 or more")


def begin(network: nn.Module, config: TrainConfig) -> None:
    """Start ``network`` from the weights that the recipe names.

    A trial (``max_steps``) for which public ones cannot be fetched begins without them, and says so.
    """
    assert config.init is not None
    try:
        fresh = start_from(network, config.model, config.init, config.init_classes or None, config.init_anyway)
    except checkpoints.FetchError as error:
        if config.max_steps is None:
            raise
        print(f"qdtrack: warning: {error}. This is a trial: it begins with random weights instead", file=sys.stderr)
        return
    print(f"starting from {config.init}; afresh: {', '.join(fresh) or 'nothing'}")


def _devices(device: str) -> str:
    return device if process_count() == 1 else f"{process_count()} processes, {device} each"


def show(sets: Sequence[SampleSet], config: TrainConfig, count: int, folder: Path) -> None:
    """Write pictures of the first pairs that a training is fed: key beside reference, with what is labelled."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("pair-*.png"):
        old.unlink()
    pairs = frame_pairs(sets, config, count)
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
    config = read_recipe(args.config, key_values(args.changes, str(args.config)))
    args.output = args.output or Path(args.config.stem).with_suffix(".safetensors")
    _check(args, config)
    device = chosen_device(args)
    folders = find_sets(config.data.roots(), config.data)
    if args.show:
        pictures = args.output.with_suffix(".show")
        show(load_sets(folders, config.model, config.data, args.frames), config, args.show, pictures)
        print(f"{args.show} pictures of what the network would be fed: {pictures}/")
        return 0
    state_path, log_path = args.output.with_suffix(".state.pt"), args.output.with_suffix(".csv")
    torch.manual_seed(config.seed)
    network = build(config.model)
    if config.init and not (args.resume and state_path.exists()):
        begin(network, config)
    sets = load_sets(folders, config.model, config.data, args.frames)
    images = sum(len(part.samples) for part in sets)
    steps = make_schedule(config, epoch_images(sets)).last
    print(f"{len(sets)} sets, {images} images, {steps} steps of {config.batch} pairs on {_devices(args.device)}")
    provenance = {
        "command": shlex.join(["qdtrack", *sys.argv[1:]]),
        "data": [folder.name for folder in folders],
        "images": images,
        "seed": config.seed,
        "steps": steps,
        "torch": torch.__version__,
    }
    output, validation = Output(args.output, config, provenance, args.half), None
    if args.validate:
        judges = find_sets(args.validate, config.data)
        held_out = load_held_out(judges, config.model, config.data, sets, args.frames)
        validation = Validation(args.validate_every, held_out.fingerprint(), partial(output.judge, held_out))
    board = tensorboard_folder(log_path)
    print(f"log: {log_path}" + (f", {board}/" if board else " (for TensorBoard, too: pip install tensorboard)"))
    try:
        trained = train(config, sets, network, state_path, device, args.workers, args.resume, validation, log_path)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {state_path} holds the state: run the same command with --resume", file=sys.stderr)
        return INTERRUPTED
    if not is_first_process():
        return 0
    if validation is None:
        output.write(args.output, trained, steps)
    print(f"wrote {args.output}: step {checkpoints.load(args.output).provenance['step']}")
    return 0
