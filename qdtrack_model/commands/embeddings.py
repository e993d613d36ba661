"""``qdtrack embeddings``: how well the embeddings of weights tell identities apart, and pictures of them."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from qdtrack_model import checkpoints
from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands import LEFT_OUT
from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.commands.evaluate import format_table
from qdtrack_model.commands.network import add_device_argument, chosen_device
from qdtrack_model.data.held_out import HeldOutSequence, load_held_out
from qdtrack_model.data.loading import DataConfig, find_sets
from qdtrack_model.drawing.embeddings import draw_heat, draw_plane, in_a_plane
from qdtrack_model.evaluation.embeddings import FARS, MOST, EmbeddingScores, largest_people, score_both
from qdtrack_model.object_embeddings import ObjectEmbeddings, embed_sequence, heat_of
from qdtrack_model.structures import Array
from qdtrack_model.training.config import read_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack embeddings``."""
    add = parser.add_argument
    add("--weights", required=True, metavar="NAME|PATH", help="`qdtrack weights` lists names; or a file")
    add("--data", type=Path, nargs="+", required=True, metavar="PATH", help="sequences, or folders of them")
    add("--config", type=Path, metavar="RECIPE",
        help="what the sequences call the classes, and which frames are trained on and left out")  # fmt: skip
    add("--frames", type=positive_integer, metavar="N", help="look at the first N frames that are not left out")
    add_device_argument(parser)
    add("--json", type=Path, metavar="FILE", help="write all scores to FILE")
    add("--pictures", type=Path, metavar="FOLDER",
        help="write the largest people's embeddings in a plane (t-SNE) and the first frame's heatmap")  # fmt: skip


def table(scores: Mapping[str, Mapping[str, EmbeddingScores | None]]) -> str:
    """A line for each sequence and choice of people, in per cent."""
    rows = [["sequence", "people", *(f"TPR@{far:g}" for far in FARS), "rank-1", "mAP", "objects"]]
    for name, both in scores.items():
        for which, s in both.items():
            if s is None:
                rows.append([name, which, *["-"] * (len(FARS) + 2), "too few people"])
                continue
            values = [f"{100 * value:.2f}" for value in (*s.tpr, s.rank1, s.mean_ap)]
            rows.append([name, which, *values, str(s.count)])
    return format_table(rows)


def write_pictures(
    folder: Path, network: nn.Module, name: str, sequence: HeldOutSequence, found: ObjectEmbeddings
) -> None:
    """The largest people's embeddings in a plane, and the heatmap of the first frame where the network has one."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.replace("/", "-")
    rows = largest_people(found.frames, found.ids, found.sizes)
    try:
        plane = in_a_plane(found.embeddings[rows])
        draw_plane(
            folder / f"{stem}-embeddings.png", plane, found.ids[rows], found.crops, f"{name}: ten largest people"
        )
    except ValueError as error:
        print(f"qdtrack: warning: {name}: no picture of the largest people: {error}", file=sys.stderr)
    number = int(found.frames[0])
    with sequence.images() as source:
        image = next(frame.image for frame in source if frame.index == number)
    heat = heat_of(network, image)
    if heat is None:
        print(f"{name}: no heatmap: a network of this architecture has none")
        return
    boxes = sequence.truth.boxes[(sequence.truth.frames == number) & (sequence.truth.confidences > 0)]
    _write_image(folder / f"{stem}-heatmap.png", draw_heat(image, heat, boxes))


def _write_image(path: Path, image: Array) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(np.asarray(cv2.imencode(".png", image)[1]).tobytes())


def main(args: argparse.Namespace) -> int:
    """Score, print the table, write JSON and pictures."""
    device = chosen_device(args)
    data = read_recipe(args.config).data if args.config else DataConfig()
    checkpoint = checkpoints.load(args.weights)
    sequences = load_held_out(find_sets(args.data, data), checkpoint.config, data).sequences
    if not sequences:
        raise ValueError(f"{', '.join(map(str, args.data))}: stills have no identities; expected sequences")
    if args.pictures and importlib.util.find_spec("sklearn") is None:
        raise ValueError("--pictures: needs scikit-learn: pip install 'qdtrack[embeddings]'")
    network = checkpoint.network().to(device)
    scores, left_out = {}, []
    for name, sequence in sequences.items():
        first = sequence.stretches[0][0]
        try:
            found = embed_sequence(network, sequence, name, args.frames and first - 1 + args.frames, MOST)
            scores[name] = score_both(found.frames, found.ids, found.sizes, found.embeddings)
        except ValueError as error:
            left_out.append(f"{name}: {error}")
            continue
        if args.pictures:
            write_pictures(args.pictures, network, name, sequence, found)
    if not scores:
        raise ValueError("; ".join(left_out))
    for why in left_out:
        print(f"qdtrack: warning: left out: {why}", file=sys.stderr)
    print(table(scores))
    if args.json:
        mapping = {
            name: {which: s and dataclasses.asdict(s) for which, s in both.items()} for name, both in scores.items()
        }
        with atomic_write(args.json) as partial:
            partial.write_text(json.dumps({"far": FARS, "sequences": mapping}, indent=2) + "\n", encoding="utf-8")
    return LEFT_OUT if left_out else 0
