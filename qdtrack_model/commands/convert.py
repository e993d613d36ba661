"""``qdtrack convert``: a public checkpoint of another project into weights for this one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from qdtrack_model.checkpoints.presets import preset_files, read_preset
from qdtrack_model.checkpoints.public import convert_file
from qdtrack_model.commands.arguments import class_names
from qdtrack_model.config import QDTrackConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack convert``."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="file of mmtracking, mmdetection, SysCV, torchvision, FairMOT or CL-MOT",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="WEIGHTS", help="weights.safetensors to write")
    parser.add_argument(
        "--preset", required=True, metavar="NAME",
        help=f"the network it was made for: {', '.join(preset_files())}, or a YAML file of that form",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=class_names, metavar="NAME,...",
        help="take these classes of the file alone, such as person,car of COCO's 80, instead of the preset's",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Convert, write, and say which keys were used and which not."""
    preset = read_preset(args.preset)
    if args.classes:
        preset = replace(preset, model=replace(preset.model, classes=args.classes, columns=()))
    origin = {"converted_from": args.checkpoint.name, "preset": args.preset}
    done = convert_file(args.checkpoint, preset, args.output, origin, args.classes)
    config = done.network.config
    print(f"{args.checkpoint}: {done.layout}, {done.used} tensors used")
    if isinstance(config, QDTrackConfig):
        print(
            f"backbone: {config.style} style, {config.channel_order}, mean {config.mean}, deviation {config.deviation}"
        )
    else:
        convolutions = ", deformable convolutions" * config.deformable
        print(
            f"backbone: {config.backbone}{convolutions}; boxes as {config.size}, embeddings of {config.embedding_size}"
        )
        print("no file of this kind holds the classifier and the balance of its training: going on learns them anew")
    print(f"beside the image: {config.padding} (B, G, R)")
    if done.fresh:
        print(f"not in the file, with fresh random weights: {', '.join(done.fresh)}")
    if done.unused:
        print(f"no place in the network ({len(done.unused)}): {', '.join(done.unused)}")
    print(f"written: {args.output}")
    return 0
