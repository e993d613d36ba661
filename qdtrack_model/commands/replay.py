"""``qdtrack replay``: bags through the tracker, scored, with a report."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from qdtrack_model import checkpoints
from qdtrack_model.commands import LEFT_OUT
from qdtrack_model.commands.arguments import add_workers_arguments, chosen_workers, key_values
from qdtrack_model.commands.evaluate import format_table
from qdtrack_model.commands.network import add_pipeline_arguments, load_pipeline, pipeline_arguments
from qdtrack_model.config import retuned
from qdtrack_model.data.bags import BagError
from qdtrack_model.fleet.listing import Listed, listed
from qdtrack_model.fleet.places import PlaceError, below, is_remote, local_copy, read_text, stamp, write_text, written
from qdtrack_model.fleet.unfinished import Unfinished, forget
from qdtrack_model.fleet.workers import team
from qdtrack_model.replay.lockstep import Progress, settings_of, track_again
from qdtrack_model.replay.measures import ALL, COUNTS, SCORES
from qdtrack_model.replay.pages.page import ReportError
from qdtrack_model.replay.pages.report import write_report
from qdtrack_model.replay.pictures import write_pictures
from qdtrack_model.replay.results import write_results
from qdtrack_model.replay.run import RUN, Collected, Run, RunWriter, Settings
from qdtrack_model.replay.truth import AUTOMATIC
from qdtrack_model.replay.worker import BagWorker, Replayed, part_of, show

WEIGHTS = "street"
MOST_ROWS = 40  # sequences printed
ON_ONE_PAGE = 8  # bags; of more each has a page of its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack replay``."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="BAG|LIST|RUN",
        help="rosbag2 folders, .mcap or .db3 files, also as s3://...; CSV files with a column `bag` and tags; or one "
        "run, whose cached detections are tracked again")  # fmt: skip
    add("--output", required=True, metavar="RUN", help="folder or URL to write; an older run there is replaced")
    add("--topic", nargs="+", action="extend", metavar="TOPIC", help="topics of images [all]")
    add("--ground-truth", default=AUTOMATIC, metavar="WHERE",
        help="topic, file or folder of MOTChallenge columns, or none [topic ground_truth beside images]")  # fmt: skip
    add("--live", action="store_true", help="play the bags over ROS 2 into the node in another process, at their pace")
    add("--rate", type=_rate, default=1.0, help="with --live: 2 for twice as fast as it was recorded [1]")
    add_workers_arguments(parser)
    add("--no-pictures", action="store_true", help="write no overlay video and no crops: the bags are read once only")
    add("--weights", default=WEIGHTS, metavar="NAME|PATH", help="`qdtrack weights` lists names; or a file [street]")
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


def _again(args: argparse.Namespace, folder: Path) -> bool:
    """Track the cached detections of a run; says whether each bag has a page of its own."""
    [place] = args.inputs
    source = Run.read(place)
    given = {
        "ground-truth": args.ground_truth != AUTOMATIC, "topic": args.topic, "jobs": args.jobs, "ray": args.ray,
        "weights": str(args.weights) not in (WEIGHTS, source.settings.weights),
    }  # fmt: skip
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise ValueError(
            f"--{wrong[0]}: {place} is a run, tracked again in this process with what its own network saw and its own "
            "ground truth: leave it out, or give the bags"
        )
    if not is_remote(args.output) and Path(args.output).resolve() == source.folder.resolve():
        raise ValueError(f"--output {args.output}: is the run that is read")
    old, bags = source.settings, source.bags()
    tracker = retuned(old.tracker, key_values(args.tracker, "--tracker"))
    forget(args.output)
    run = RunWriter(folder, Settings("cached", old.weights, old.runtime, tracker, old.classes))
    apart = len(bags) > ON_ONE_PAGE
    parts = [Collected(folder, run.settings)]
    for told in source.content["left_out"]:
        parts[0].leave_out(told["bag"], told["reason"])
    with _bar() as progress:
        for bag in bags:
            parts.append(Collected(folder, run.settings))
            [name, *_] = track_again(bag, tracker, parts[-1], progress)
            recorded = None if args.no_pictures else bag.content["sequences"][0]["bag"]
            _show_again(parts[-1], name.partition("/")[0], recorded, apart, progress)
            run.hold(parts)
            run.write()
    return apart


def _show_again(part: Collected, name: str, recorded: str | None, page: bool, progress: Progress) -> None:
    """As :func:`show`, with pictures of a bag where there still is one."""
    try:
        with ExitStack() as stack:
            path = None if recorded is None else stack.enter_context(local_copy(recorded))
            show(part, name, path, page, progress)
    except (BagError, PlaceError) as error:
        print(f"qdtrack: warning: no pictures: {error}", file=sys.stderr)
        show(part, name, None, page, progress)


def replay_bags(args: argparse.Namespace, folder: Path, bags: Sequence[Listed], apart: bool = False) -> int:
    """Replay bags into a run; those that cannot be are told and counted, the others done.

    Args:
        args: of the command.
        folder: for what this process writes of the run.
        bags: to replay.
        apart: whether each bag has a page of its own.

    Returns:
        How many bags were left out.
    """
    workers = chosen_workers(args)
    network = pipeline_arguments(args, args.threads if workers.here else workers.cores)
    pipeline = load_pipeline(network)
    whole: list[Replayed] = []
    try:
        pipeline.runtime.warm_up()
        settings = settings_of(pipeline, str(args.weights))
        unfinished = unfinished_replay(args, settings)
        run = RunWriter(folder, settings)
        options = {
            "weights": str(args.weights), "output": args.output, "topics": args.topic, "truth": args.ground_truth,
            "pictures": not args.no_pictures, "page": apart,
        }  # fmt: skip
        parts = done_before(unfinished, bags, run, apart)
        missing = [bag for bag in bags if bag.name not in parts]
        with _bar("frame" if workers.here else "bag") as progress:
            if workers.here:
                make = partial(BagWorker, pipeline, **options, progress=progress)
            else:
                make = partial(_bag_worker, network, options)
            with team(make, workers) as apply:
                for place, one in apply(missing):
                    bag = missing[place]
                    part = parts[bag.name] = part_of(run, bag, one)
                    if isinstance(one, Replayed):
                        whole.append(one)
                        if part.sequences:
                            unfinished.keep(bag, one.stamp, part.to_state(), [bag.name])
                    run.hold([parts[bag.name] for bag in bags if bag.name in parts])
                    run.write()
                    if is_remote(args.output):
                        write_text(below(args.output, RUN), (folder / RUN).read_text(encoding="utf-8"))
                    if not workers.here:
                        progress(bag.name)
    finally:
        pipeline.close()
    if any(one.part.sequences for one in whole):
        print(_cost(whole))
    return _left_out(run.content())


def unfinished_replay(args: argparse.Namespace, settings: Settings) -> Unfinished:
    """What a replay with these settings that was interrupted has done.

    Raises:
        ValueError: it had other settings.
        PlaceError: the URL cannot be read.
    """
    told, truth = settings.to_mapping(), args.ground_truth
    terms = {
        **{name: told[name] for name in ("way", "runtime", "tracker")},
        **{name: getattr(args, name) for name in ("precision", "topic", "rate", "no_pictures")},
        "weights": checkpoints.load(args.weights).digest, "ground_truth": [truth, stamp(truth, "gt.txt")],
    }  # fmt: skip
    unfinished = Unfinished(args.output, terms)
    if unfinished.others:
        other = ", ".join(name.replace("_", "-") for name in unfinished.others)
        raise ValueError(
            f"--output {args.output}: holds an interrupted replay with other settings ({other}); with those it goes "
            "on; else choose another place, or remove it"
        )
    return unfinished


def done_before(
    unfinished: Unfinished, bags: Sequence[Listed], run: RunWriter, page: bool | None = None
) -> dict[str, Collected]:
    """What a replay that was interrupted has done of the bags, by their names; the run holds it.

    Args:
        unfinished: what is known of it.
        bags: to replay.
        run: that is to hold them.
        page: whether each bag has a page of its own; None where none is asked.
    """
    parts: dict[str, Collected] = {}
    for bag in bags:
        state = unfinished.known(bag, page)
        if state is None:
            continue
        with suppress(KeyError, TypeError, ValueError):  # of a broken file: the bag is replayed again
            parts[bag.name] = Collected.from_state(run.folder, run.settings, state)
    if parts:
        print(f"goes on with a replay that was interrupted: {len(parts)} of {len(bags)} bags are done", flush=True)
        run.hold([parts[bag.name] for bag in bags if bag.name in parts])
        run.write()
    return parts


def _bag_worker(pipeline: argparse.Namespace, options: dict[str, Any]) -> BagWorker:
    """In a worker's process."""
    return BagWorker(load_pipeline(pipeline), **options)


def _left_out(content: Mapping[str, Any]) -> int:
    """Tell of bags of which nothing could be replayed, and count them."""
    replayed = {told["bag"] for told in content["sequences"]}
    missing = [told for told in content["left_out"] if told["bag"] not in replayed]
    for told in missing:
        print(f"qdtrack: warning: left out: {told['reason']}", file=sys.stderr)
    return len(missing)


def _cost(whole: Sequence[Replayed]) -> str:
    """What an hour of bag costs, in a line."""
    hours = sum(max((told["seconds"] for told in one.part.sequences), default=0.0) for one in whole) / 3600
    of_workers, of_cores = (
        sum(getattr(one, name) for one in whole) / 3600 for name in ("seconds", "processor_seconds")
    )
    return (
        f"cost of an hour of bag: {of_workers / max(hours, 1e-9):.2f} hours of one worker, "
        f"{of_cores / max(hours, 1e-9):.2f} hours of one core ({hours:.2f} h of bag)"
    )


@contextmanager
def _bar(unit: str = "frame") -> Iterator[Progress]:
    """A progress bar whose calls name the sequence."""
    with tqdm(unit=unit, disable=None) as bar:

        def progress(name: str) -> None:
            bar.set_description(name, refresh=False)
            bar.update()

        yield progress


def table(content: dict[str, Any]) -> str:
    """Scores of a run in lines, or what its tracks tell where there is no ground truth."""
    sequences = content["sequences"][: MOST_ROWS + 1]
    scored = [(told["name"], kind, scores) for told in sequences for kind, scores in told["scores"].items()]
    if scored:
        scored = scored if len(sequences) <= MOST_ROWS else []
        scored += [("total", kind, scores) for kind, scores in content["total"].items()] if len(scored) != 1 else []
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
        for told in sequences[:MOST_ROWS]:
            rows.append([told["name"], str(told["frames"]), *(f"{told['tracks'][ALL][key]:g}" for key in keys)])
    return format_table(rows)


def finish(folder: Path, pictures: bool, place: str | None = None, apart: bool = False) -> None:
    """Print the scores of a run, write its pictures, its report and its results, and tell where they are.

    Args:
        folder: of the run here.
        pictures: whether those of all bags are still to be written.
        place: that the run will be at, if not in the folder.
        apart: whether each bag has a page of its own.

    Raises:
        ValueError: nothing was replayed.
    """
    run, place = Run.read(folder), place or str(folder)
    if not run.content["sequences"]:
        raise ValueError(f"{place}: not one bag could be replayed")
    print(table(dict(run.content)))
    if pictures:
        with _bar() as progress:
            write_pictures(run, progress)
    try:
        print(f"report: {below(place, write_report(run, apart=apart).name)}")
    except ReportError as error:
        print(f"qdtrack: warning: no report: {error}", file=sys.stderr)
    if len({told["bag"] for told in run.content["sequences"]}) > 1:
        try:
            print(f"results: {below(place, write_results(folder, run.content).name)}")
        except ModuleNotFoundError:
            print("qdtrack: warning: no results.parquet: pip install 'qdtrack[fleet]'", file=sys.stderr)
    print(f"run: {place.rstrip('/')}/")


def _live(args: argparse.Namespace) -> int:
    """Replay in a process of ROS, which this package knows nothing of."""
    if args.jobs or args.ray:
        raise ValueError("--live plays one bag after the other: leave out --jobs and --ray")
    for place in (*args.inputs, args.output):
        if is_remote(place) or place.endswith(".csv"):
            raise ValueError(f"--live: got {place}, expected bags and a folder that lie here")
    if importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("qdtrack_ros") is None:
        raise ValueError("--live needs ROS 2 and the built package: source its environment (docs/replay.md)")
    arguments = [*args.inputs, "--output", args.output, "--ground-truth", args.ground_truth]
    arguments += ["--weights", str(args.weights), "--runtime", args.runtime, "--precision", args.precision]
    arguments += ["--rate", str(args.rate), *(["--threads", str(args.threads)] if args.threads else [])]
    for name, values in (("--topic", args.topic), ("--tracker", args.tracker)):
        arguments += [name, *values] if values else []
    arguments += ["--no-pictures"] if args.no_pictures else []
    return subprocess.run([sys.executable, "-m", "qdtrack_ros.replay", *arguments]).returncode


def is_run(place: str) -> bool:
    """Whether a run lies there: its ``run.json`` tells."""
    if not is_remote(place):
        return (Path(place) / RUN).is_file()
    if place.endswith((".mcap", ".db3", ".csv")) or "*" in place:
        return False
    try:
        read_text(below(place, RUN))
    except OSError:
        return False
    return True


def main(args: argparse.Namespace) -> int:
    """Replay, score, and print the scores."""
    runs = [place for place in args.inputs if is_run(place)]
    if runs and len(args.inputs) > 1:
        raise ValueError(f"{runs[0]}: a run is tracked again by itself, got {len(args.inputs)} inputs")
    if args.live:
        return _live(args)
    with written(args.output) as folder:
        if runs:
            finish(folder, False, args.output, _again(args, folder))
            return 0
        bags = listed(args.inputs)
        apart = len(bags) > ON_ONE_PAGE or is_remote(args.output)
        left_out = replay_bags(args, folder, bags, apart)
        finish(folder, False, args.output, apart)
    forget(args.output)
    return LEFT_OUT if left_out else 0
