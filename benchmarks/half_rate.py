"""What tracking loses where only every second image is tracked, as on a machine that is too slow for its camera.

    python benchmarks/half_rate.py [SEQUENCE ...] [--weights street] [--every 2] [--frames 150] [--exact]

A sequence is a MOTChallenge folder with ground truth, such as ``qdtrack synthesize`` writes; without any it is the
street of ``make demo``. Both trackers get the same detections and are scored on the images that they were given.
``--exact`` tracks every image in float32 by ONNX Runtime besides: what the precision of ``auto`` costs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdtrack_model import runtimes
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, from_tracks, join, read_mot
from qdtrack_model.data.sources import open_source
from qdtrack_model.evaluation import Scores, evaluate
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.writer import write_sequence


def scores_of(sequence: Path, pipeline: Pipeline, steps: Sequence[int], frames: int | None = None) -> Iterator[Scores]:
    """Scores of tracking every ``step``-th of the first ``frames`` images, for each of ``steps``; all images when None.

    The network looks at each image once.
    """
    columns = class_columns(pipeline.runtime.config)
    trackers = {step: pipeline.new_tracker() for step in steps}
    rows: dict[int, list[MotBoxes]] = {step: [] for step in trackers}
    given: dict[int, list[int]] = {step: [] for step in trackers}
    with open_source(sequence) as source:
        images = islice(source, frames)
        for number, frame in enumerate(tqdm(images, total=frames or source.length, desc=sequence.name, disable=None)):
            [detections] = pipeline.detect([frame.image])
            for step, tracker in trackers.items():
                if number % step == 0:
                    rows[step].append(from_tracks(tracker.update(detections, frame.time), frame.index, columns))
                    given[step].append(frame.index)
    truth = read_mot(sequence / "gt" / "gt.txt")
    for step, found in rows.items():
        yield evaluate(truth[np.isin(truth.frames, given[step])], join(found))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequences", nargs="*", type=Path, metavar="SEQUENCE")
    parser.add_argument("--weights", default="street")
    parser.add_argument("--runtime", default="auto", choices=("auto", *runtimes.RUNTIMES))
    parser.add_argument("--precision", default="auto", choices=("auto", *runtimes.PRECISIONS))
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--frames", type=int, help="of each sequence, from its first on [all]")
    parser.add_argument("--exact", action="store_true", help="also in float32, for comparison")
    args = parser.parse_args(arguments)
    pipeline = Pipeline.load(args.weights, runtimes.Options(args.runtime, args.precision))
    tracked = {pipeline: {"every image": 1, f"every {args.every}.": args.every}}
    if args.exact:
        tracked[Pipeline.load(args.weights, runtimes.Options("onnxruntime", "fp32"))] = {"in fp32": 1}
    with tempfile.TemporaryDirectory() as folder:
        if not args.sequences:
            args.sequences = [Path(folder) / "street-9"]
            write_sequence(Scene(SceneConfig(seed=9)), args.sequences[0])
        heads = [head for steps in tracked.values() for head in steps]
        print(f"weights {args.weights}, runtime {pipeline.runtime.name} on {pipeline.runtime.device}")
        print(" " * 14 + "".join(f"{head:>20}" for head in heads))
        print(" " * 14 + f"{'MOTA':>10}{'IDF1':>10}" * len(heads))
        means = []
        for sequence in args.sequences:
            scores = [
                one for seen_by, steps in tracked.items()
                for one in scores_of(sequence, seen_by, [*steps.values()], args.frames)
            ]  # fmt: skip
            means.append([100 * value for one in scores for value in (one.mota, one.idf1)])
            print(f"{sequence.name:<14}" + "".join(f"{value:>10.1f}" for value in means[-1]), flush=True)
        print(f"{'mean':<14}" + "".join(f"{value:>10.1f}" for value in np.mean(means, axis=0)))


if __name__ == "__main__":
    main()
