"""What settings of the tracker change, on detections that the network makes once.

    python benchmarks/settings.py SEQUENCE [...] [--weights street] [--frames 150]
        [--settings min_hits=2 min_hits=3 gallery_span=10 gallery_span=10,gallery_score=0.7]

A sequence is a MOTChallenge folder with ground truth, such as ``qdtrack synthesize`` writes. The first row is of the
weights' own settings; each of ``--settings`` replaces what it names, several at once between commas.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import yaml
from tqdm import tqdm

from qdtrack_model.config import retuned
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, from_tracks, join, read_mot
from qdtrack_model.data.sources import open_source
from qdtrack_model.evaluation import Scores, evaluate
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.tracking.quasi_dense import QuasiDenseTracker

SETTINGS = ("min_hits=2", "min_hits=3", "gallery_span=10", "gallery_span=10,gallery_score=0.7")


def scores_of(sequence: Path, pipeline: Pipeline, settings: Sequence[str], frames: int | None) -> list[Scores]:
    """Scores of the first ``frames`` images, all when None, with each of ``settings`` ("" for the weights' own)."""
    columns = class_columns(pipeline.runtime.config)
    mappings = [dict(part.split("=") for part in one.split(",") if part) for one in settings]
    values = [{key: yaml.safe_load(text) for key, text in one.items()} for one in mappings]
    trackers = [QuasiDenseTracker(retuned(pipeline.new_tracker().config, one)) for one in values]
    rows: list[list[MotBoxes]] = [[] for _ in trackers]
    count = 0
    with open_source(sequence) as source:
        for frame in tqdm(islice(source, frames), sequence.name, frames, disable=None):
            [found] = pipeline.detect([frame.image])
            for tracker, told in zip(trackers, rows, strict=True):
                told.append(from_tracks(tracker.update(found, frame.time), frame.index, columns))
            count = frame.index
    truth = read_mot(sequence / "gt" / "gt.txt")
    truth = truth[truth.frames <= count]
    last = int(truth.frames.max())  # some recordings are marked only at the beginning
    return [evaluate(truth, (boxes := join(told))[boxes.frames <= last]) for told in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequences", nargs="+", type=Path, metavar="SEQUENCE")
    parser.add_argument("--weights", default="street")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), metavar="KEY=VALUE[,...]")
    args = parser.parse_args()
    pipeline = Pipeline.load(args.weights)
    settings = ["", *args.settings]
    print(f"{'':<14}{'':<36}  MOTA   IDF1   HOTA  IDSw    FP    FN")
    for sequence in args.sequences:
        for name, scores in zip(settings, scores_of(sequence, pipeline, settings, args.frames), strict=True):
            shares = "".join(f"{100 * share:7.1f}" for share in (scores.mota, scores.idf1, scores.hota))
            figures = f"{shares}{scores.id_switches:6d}{scores.false_positives:6d}{scores.false_negatives:6d}"
            print(f"{sequence.name:<14}{name or 'as trained':<36}{figures}", flush=True)


if __name__ == "__main__":
    main()
