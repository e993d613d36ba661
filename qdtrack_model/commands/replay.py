"""``qdtrack replay``: bags through the tracker, scored, with a report."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from qdtrack_model.commands.arguments import key_values
from qdtrack_model.commands.evaluate import format_table
from qdtrack_model.commands.network import add_pipeline_arguments, load_pipeline
from qdtrack_model.config import retuned
from qdtrack_model.data.bags import BagError
from qdtrack_model.data.readers.mot import MotError
from qdtrack_model.replay.lockstep import Progress, replay_bag, settings_of, track_again
from qdtrack_model.replay.measures import ALL, COUNTS, SCORES
from qdtrack_model.replay.page import ReportError
from qdtrack_model.replay.pictures import write_pictures
from qdtrack_model.replay.report import write_report
from qdtrack_model.replay.run import RUN, Run, RunWriter, Settings
from qdtrack_model.replay.truth import AUTOMATIC, TruthError

LEFT_OUT = 1  # exit status where bags were left out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack replay``."""
    add = parser.add_argument
    add("inputs", type=Path, nargs="+", metavar="BAG|RUN",
        help="rosbag2 folders, .mcap or .db3 files; or one run, whose cached detections are tracked again")  # fmt: skip
    add("--output", type=Path, required=True, metavar="RUN", help="folder to write; an older run there is replaced")
    add("--topic", nargs="+", action="extend", metavar="TOPIC", help="topics of images [all]")
    add("--ground-truth", default=AUTOMATIC, metavar="WHERE",
        help="topic, file or folder of MOTChallenge columns, or none [topic ground_truth beside images]")  # fmt: skip
    add("--live", action="store_true", help="play the bags over ROS 2 into the node in another process, at their pace")
    add("--rate", type=_rate, default=1.0, help="with --live: 2 for twice as fast as it was recorded [1]")
    add("--no-pictures", action="store_true", help="write no overlay video and no crops: the bags are read once only")
    add("--weights", default="street", metavar="NAME|PATH", help="`qdtrack weights` lists names; or a file [street]")
    add_pipeline_arguments(parser)


def _rate(text: str) -> float:
    """Parse a positive number."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1000:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a positive number")
    return rate


def leave_out(run: RunWriter, bag: Path, error: Exception) -> None:
    """Tell of a bag that cannot be replayed, and go on."""
    run.leave_out(bag, str(error))
    run.write()
    print(f"qdtrack: warning: left out: {error}", file=sys.stderr)


def _again(args: argparse.Namespace) -> tuple[RunWriter, int]:
    """Track the cached detections of a run."""
    [folder] = args.inputs
    source = Run.read(folder)
    if args.output.resolve() == folder.resolve():
        raise ValueError(f"--output {args.output}: is the run that is read")
    old = source.settings
    tracker = retuned(old.tracker, key_values(args.tracker, "--tracker"))
    settings = Settings("cached", old.weights, old.runtime, tracker, old.classes)
    run = RunWriter(args.output, settings)
    with _bar() as progress:
        track_again(source, settings.tracker, run, progress)
    run.write()
    return run, 0


def replay_bags(args: argparse.Namespace) -> tuple[RunWriter, int]:
    """Replay bags; those that cannot be are told and counted, the others done."""
    pipeline = load_pipeline(args)
    try:
        pipeline.runtime.warm_up()
        run = RunWriter(args.output, settings_of(pipeline, str(args.weights)))
        left_out = 0
        with _bar() as progress:
            for bag in args.inputs:
                try:
                    replay_bag(bag, args.topic, args.ground_truth, pipeline, run, progress)
                except (BagError, TruthError, MotError) as error:
                    left_out += 1
                    leave_out(run, bag, error)
                run.write()
    finally:
        pipeline.close()
    return run, left_out


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar whose calls name the sequence."""
    with tqdm(unit="frame", disable=None) as bar:

        def progress(name: str) -> None:
            bar.set_description(name, refresh=False)
            bar.update()

        yield progress


def table(content: dict[str, Any]) -> str:
    """Scores of a run in lines, or what its tracks tell where there is no ground truth."""
    scored = [(told["name"], kind, scores) for told in content["sequences"] for kind, scores in told["scores"].items()]
    if scored:
        scored += [("total", kind, scores) for kind, scores in content["total"].items()] if len(scored) > 1 else []
        rows = [["sequence", "class", *SCORES, *COUNTS]]
        rows += [
            [
                name,
                kind,
                *(f"{100 * scores[key]:.1f}" for key in SCORES.values()),
                *(str(scores[k]) for k in COUNTS.values()),
            ]
            for name, kind, scores in scored
        ]
    else:
        keys = ("tracks", "boxes", "median_seconds", "fragments", "reidentifications", "flickers")
        rows = [["sequence", "frames", *(key.replace("_", " ") for key in keys)]]
        for told in content["sequences"]:
            rows.append([told["name"], str(told["frames"]), *(f"{told['tracks'][ALL][key]:g}" for key in keys)])
    return format_table(rows)


def finish(writer: RunWriter, pictures: bool) -> None:
    """Print the scores of a run, write its pictures and its report, and tell where they are.

    Raises:
        ValueError: nothing was replayed.
    """
    run = Run.read(writer.folder)
    if not run.content["sequences"]:
        raise ValueError(f"{run.folder}: not one bag could be replayed")
    print(table(dict(run.content)))
    if pictures:
        with _bar() as progress:
            write_pictures(run, progress)
    try:
        print(f"report: {write_report(run)}")
    except ReportError as error:
        print(f"qdtrack: warning: no report: {error}", file=sys.stderr)
    print(f"run: {run.folder}/")


def _live(args: argparse.Namespace) -> int:
    """Replay in a process of ROS, which this package knows nothing of."""
    if importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("qdtrack_ros") is None:
        raise ValueError("--live needs ROS 2 and the built package: source its environment (docs/replay.md)")
    arguments = [*map(str, args.inputs), "--output", str(args.output), "--ground-truth", args.ground_truth]
    arguments += ["--weights", str(args.weights), "--runtime", args.runtime, "--precision", args.precision]
    arguments += ["--rate", str(args.rate), *(["--threads", str(args.threads)] if args.threads else [])]
    for name, values in (("--topic", args.topic), ("--tracker", args.tracker)):
        arguments += [name, *values] if values else []
    arguments += ["--no-pictures"] if args.no_pictures else []
    return subprocess.run([sys.executable, "-m", "qdtrack_ros.replay", *arguments]).returncode


def main(args: argparse.Namespace) -> int:
    """Replay, score, and print the scores."""
    runs = [path for path in args.inputs if (path / RUN).is_file()]
    if runs and len(args.inputs) > 1:
        raise ValueError(f"{runs[0]}: a run is tracked again by itself, got {len(args.inputs)} inputs")
    if args.live:
        return _live(args)
    run, left_out = _again(args) if runs else replay_bags(args)
    finish(run, not args.no_pictures)
    return LEFT_OUT if left_out else 0
