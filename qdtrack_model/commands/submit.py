"""``qdtrack submit``: track all videos of a benchmark, and write the results as its server or `evaluate` takes them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdtrack_model.commands.network import add_pipeline_arguments, load_pipeline
from qdtrack_model.data.images import decode
from qdtrack_model.data.writers import Video, Writer
from qdtrack_model.data.writers.bdd100k import BddWriter
from qdtrack_model.data.writers.lvis import LvisWriter
from qdtrack_model.data.writers.mot import MotWriter
from qdtrack_model.data.writers.tao import TaoWriter
from qdtrack_model.data.writers.waymo import WaymoWriter
from qdtrack_model.pipeline import Pipeline, TimeUnit
from qdtrack_model.structures import Detections, Tracks

PROTOCOLS = ("mot", "bdd100k", "tao", "waymo", "lvis")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack submit``."""
    add = parser.add_argument
    add("--protocol", required=True, choices=PROTOCOLS,
        help="whose form: mot is that of all MOTChallenges, lvis has boxes of stills and no tracks")  # fmt: skip
    add("--data", type=Path, required=True, metavar="PATH", help="the data set; of mot a sequence or a folder of them")
    add("--part", default="val", choices=("train", "val", "test"), help="of all but mot [val]")
    add("--weights", required=True, metavar="NAME|PATH", help="`qdtrack weights` lists names; or a file")
    add("--output", type=Path, required=True, metavar="PATH", help="of mot a folder, else a JSON file")
    add_pipeline_arguments(parser)
    add("--time", default="frames", choices=("seconds", "frames"), help="what the tracker counts [frames]")


def make_writer(args: argparse.Namespace, classes: tuple[str, ...]) -> Writer:
    """The writer of a benchmark's form."""
    if args.protocol == "mot":
        return MotWriter(args.data, args.output, classes)
    if args.protocol == "bdd100k":
        return BddWriter(args.data, args.part, args.output, classes)
    writer = WaymoWriter if args.protocol == "waymo" else TaoWriter
    return writer(args.data, args.part, args.output, classes)


def track_video(video: Video, pipeline: Pipeline, time: TimeUnit) -> dict[int, Tracks]:
    """The tracks of each frame of a video, which begins with nothing in memory."""
    pipeline.reset()
    with video.source as source:
        frames = tqdm(source, desc=video.name, total=source.length, unit="frame", leave=False, disable=None)
        return {f.index: pipeline.process(f.image, f.time if time == "seconds" else f.index) for f in frames}


def detect_stills(writer: LvisWriter, pipeline: Pipeline) -> Iterator[tuple[int, Detections]]:
    """What is seen in each image, by its id; one that cannot be decoded is told and left out."""
    for identity, path in tqdm(writer.images.items(), unit="image", disable=None):
        image = decode(np.fromfile(path, np.uint8))
        if image is None:
            print(f"qdtrack: warning: left out: {path}: not an image that can be decoded", file=sys.stderr)
            continue
        yield identity, pipeline.detect([image])[0]


def main(args: argparse.Namespace) -> int:
    """Track every video, or detect in every still, and write.

    Raises:
        ValueError: the data or the weights cannot be used, or a tracker's value is given where nothing is tracked.
    """
    if args.tracker and args.protocol == "lvis":
        raise ValueError("--tracker: lvis has stills, in which nothing is tracked")
    # Which no tracker counts where there are stills.
    pipeline = load_pipeline(args, "seconds" if args.protocol == "lvis" else args.time)
    try:
        if args.protocol == "lvis":
            stills = LvisWriter(args.data, args.part, args.output, pipeline.classes)
            stills.write(detect_stills(stills, pipeline))
            print(f"{len(stills.images)} images: {args.output}")
            return 0
        writer = make_writer(args, pipeline.classes)
        pipeline.runtime.warm_up()
        with tqdm(writer.videos, unit="video", disable=None) as bar:
            writer.write((video, track_video(video, pipeline, args.time)) for video in bar)
    finally:
        pipeline.close()
    print(f"{len(writer.videos)} videos: {args.output}")
    return 0
