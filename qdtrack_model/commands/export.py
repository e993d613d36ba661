"""Body of ``qdtrack export``: weights into one ONNX graph; in int8 with a proof of how well it still tracks."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from qdtrack_model import checkpoints
from qdtrack_model.atomic import atomic_write
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.commands.arguments import frame_range, positive_integer
from qdtrack_model.config import ModelConfig
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, from_tracks, join, read_mot
from qdtrack_model.data.sources import Frame, SourceError, open_source
from qdtrack_model.evaluation import EvaluationError, evaluate
from qdtrack_model.evaluation.int8 import TOLERANCE, TOLERANCE_OF_TRACKS, Report
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import FROM_WEIGHTS, ON_GPU, RUNTIMES, Options, in_batches, module_of
from qdtrack_model.runtimes.graph import FLOATS, INTEGERS, export_onnx, graph_of
from qdtrack_model.runtimes.quantization import quantize, quantize_for_gpu
from qdtrack_model.structures import Array

CALIBRATED = 64  # frames whose extremes set the ranges of int8
TRACKED = 200  # frames in a row that the accuracy is read from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack export``."""
    add = parser.add_argument
    add("weights", metavar="WEIGHTS", help="a name (`qdtrack weights` lists them) or a file")
    add("--output", type=Path, required=True, metavar="MODEL.onnx", help="file to write")
    add("--precision", default="fp32", choices=(*FLOATS, *INTEGERS), help="what layers are computed in [fp32]")
    add("--size", type=_size, metavar="HxW", help="input height and width, multiples of 32 [those of the weights]")
    add("--batch", type=positive_integer, default=1, metavar="N", help="images that go through it together [1]")
    int8 = parser.add_argument_group("int8 (for CPUs) and int8-fp16 (for GPUs)")
    add = int8.add_argument
    add("--calibration", type=Path, metavar="FOLDER|VIDEO|BAG", help="images like those it will see")
    add("--frames", type=frame_range, metavar="FIRST-LAST", help="use these frames alone")
    add("--topic", help="image topic, for bags with several")
    add("--tolerance", type=float, metavar="POINTS",
        help=f"write nothing when MOTA or IDF1 falls by more [{TOLERANCE:g} against gt/gt.txt, "
             f"{TOLERANCE_OF_TRACKS:g} against the tracks of fp32]")  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    height, sign, width = text.partition("x")
    if not (sign and height.isdecimal() and width.isdecimal() and all(int(s) > 0 for s in (height, width))):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected HxW such as 384x640")
    if int(height) % 32 or int(width) % 32:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected multiples of 32")
    return int(height), int(width)


def _check(args: argparse.Namespace) -> None:
    """Raise ValueError for arguments that do not go together, before any work."""
    if args.output.suffix != ".onnx":
        raise ValueError(f"--output: got {args.output}, expected a file that ends in .onnx")
    if not args.output.parent.is_dir():
        raise ValueError(f"--output: the folder {args.output.parent} does not exist; make it first")
    wanted = f"--precision {args.precision}"
    idle = [f"--{name}" for name in ("calibration", "frames", "topic", "tolerance") if getattr(args, name) is not None]
    if args.precision not in INTEGERS:
        if idle:
            raise ValueError(f"{idle[0]} is for --precision {' or '.join(INTEGERS)}, got {wanted}")
        return
    if args.calibration is None:
        raise ValueError(f"{wanted} needs --calibration: a folder, video or bag with images like those to come")


def main(args: argparse.Namespace) -> int:
    """Export, and say what was written."""
    _check(args)
    checkpoint = checkpoints.load(args.weights)
    if checkpoint.graph is not None:
        raise ValueError(f"{args.weights}: is an exported graph already; give the weights (.safetensors)")
    if args.size is not None:
        checkpoint = replace(checkpoint, config=replace(checkpoint.config, input_size=args.size))
    print(f"exporting {checkpoint.path.name}", flush=True)
    if args.precision in INTEGERS:
        _export_int8(checkpoint, args)
    else:
        export_onnx(checkpoint, args.output, args.precision, args.batch)
    height, width = checkpoint.config.input_size
    size = args.output.stat().st_size / 1e6
    print(f"written: {args.output}, {size:.1f} MB, {args.precision}, {args.batch} x {height} x {width} x 3 uint8 BGR")
    print(f"weights: sha256 {checkpoint.digest}")
    print(f"runtimes: {_takers(args)}")
    return 0


def _takers(args: argparse.Namespace) -> str:
    """The runtimes that run what was written."""
    names = [n for n in RUNTIMES if n not in FROM_WEIGHTS and args.precision in module_of(n).PRECISIONS]
    return ", ".join(names) + ("" if any(n not in ON_GPU for n in names) else " (on a GPU alone)")


def _export_int8(checkpoint: Checkpoint, args: argparse.Namespace) -> None:
    path = args.output.with_name(args.output.name + ".json")
    with atomic_write(path) as proof, atomic_write(args.output) as int8, tempfile.TemporaryDirectory() as folder:
        used, images = _calibration_images(args, checkpoint.config)
        exact = graph_of(checkpoint, "fp32", args.batch)
        print(f"calibrating with {len(used)} frames", flush=True)
        compared = int8
        if args.precision == "int8":
            quantize(exact, int8, in_batches(images, args.batch))
        else:
            half, compared = graph_of(checkpoint, "fp16", args.batch), Path(folder) / "int8.onnx"
            quantize_for_gpu(exact, half, int8, compared, in_batches(images, args.batch))
        print("tracking with fp32 and int8", flush=True)
        report = compare(exact, compared, args)
        print(report.table(), flush=True)
        report.check(args.tolerance)
        content = {
            "weights": checkpoint.digest, "precision": args.precision,
            "input_size": list(checkpoint.config.input_size), "batch": args.batch,
            "calibration": {"source": str(args.calibration), "frames": used}, **report.to_mapping(),
        }  # fmt: skip
        proof.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"accuracy: {path}")


def _frames(args: argparse.Namespace) -> Iterator[Frame]:
    """The frames asked for.

    Raises:
        SourceError: there is none.
    """
    first, last = args.frames or (1, None)
    found = False
    with open_source(args.calibration, args.topic) as source:
        for frame in source:
            if last is not None and frame.index > last:
                break
            if frame.index >= first:
                found = True
                yield frame
    if not found:
        raise SourceError(f"{args.calibration}: no frame in {first}-{last}")


def _calibration_images(args: argparse.Namespace, config: ModelConfig) -> tuple[list[int], Array]:
    """Evenly spread frames, at most CALIBRATED: their numbers, and their images (N, H, W, 3) as the network gets them.

    How many frames there are is known at the end only: when too many are kept, every second one goes.
    """
    preprocess = Preprocessor(config)
    kept: list[tuple[int, Array]] = []
    step = 1
    for number, frame in enumerate(_frames(args)):
        if number % step:
            continue
        kept.append((frame.index, preprocess([frame.image])[0][0].copy()))
        if len(kept) > CALIBRATED:
            kept, step = kept[::2], 2 * step
    return [index for index, _ in kept], np.stack([image for _, image in kept])


def compare(exact: Path, int8: Path, args: argparse.Namespace) -> Report:
    """Track the first frames with both graphs and score the tracks.

    Raises:
        EvaluationError: fp32 finds nothing where there is no ground truth.
    """
    pipelines = [Pipeline.load(graph, Options("onnxruntime", batch=args.batch)) for graph in (exact, int8)]
    columns = class_columns(pipelines[0].runtime.config)
    indices: list[int] = []
    parts: list[list[MotBoxes]] = [[], []]
    try:
        for frame in islice(_frames(args), TRACKED):
            indices.append(frame.index)
            for pipeline, boxes in zip(pipelines, parts, strict=True):
                boxes.append(from_tracks(pipeline.process(frame.image, frame.time), frame.index, columns))
    finally:
        for pipeline in pipelines:
            pipeline.close()
    of_fp32, of_int8 = join(parts[0]), join(parts[1])
    frames = indices[0], indices[-1]
    path = args.calibration / "gt" / "gt.txt"
    truth = read_mot(path).between(*frames) if path.is_file() else of_fp32[:0]
    if len(truth) > 0:
        return Report(str(path), frames, evaluate(truth, of_fp32), evaluate(truth, of_int8))
    if len(of_fp32) == 0:
        raise EvaluationError(f"{args.calibration}: fp32 tracks nothing in frames {frames[0]}-{frames[1]}: no proof")
    return Report("the tracks of fp32", frames, None, evaluate(of_fp32, of_int8))
