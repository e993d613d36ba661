"""``qdtrack tune``: settings of the tracker chosen on bags, with how sure it is that they are better on others."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from qdtrack_model import checkpoints
from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands import replay
from qdtrack_model.commands.arguments import chosen_workers, positive_integer
from qdtrack_model.commands.evaluate import format_table
from qdtrack_model.fleet.listing import listed
from qdtrack_model.fleet.places import is_remote, stamp
from qdtrack_model.fleet.unfinished import forget, stamp_of
from qdtrack_model.replay.pages.page import ReportError
from qdtrack_model.replay.pages.tuning import write_tuning
from qdtrack_model.replay.run import RUN, Run
from qdtrack_model.replay.tuning import METRICS, Tuned, parameter_file, tune

PARAMETERS = "tracker.yaml"
MADE = "run-of.json"  # what was asked when the bags were replayed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack tune``."""
    replay.add_arguments(parser)
    add = parser.add_argument
    add("--metric", default="hota", choices=METRICS, help="what is to be as large as possible [hota]")
    add("--trials", type=positive_integer, default=60, help="settings tried in each of BAGS + 1 studies [60]")
    add("--seed", type=int, default=0, help="of the optimiser [0]")


def main(args: argparse.Namespace) -> int:
    """Choose settings, and say what they are worth."""
    if is_remote(args.output):
        raise ValueError(f"--output {args.output}: expected a folder here, where trials are kept as they are made")
    if args.live:
        raise ValueError("--live: live runs keep no detections to tune on: leave it out")
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    places = [place for place in args.inputs if replay.is_run(place)]
    if places and len(places) < len(args.inputs):
        other = next(place for place in args.inputs if place not in places)
        raise ValueError(f"{other}: is no run, and {places[0]} is one: give runs alone, or bags alone")
    runs = [Run.read(place) for place in places] or [_replayed(args, output / "run")]
    with tqdm(unit="trial", disable=None) as bar:

        def progress() -> None:
            bar.update()

        tuned = tune(runs, output, args.metric, args.trials, args.seed, progress, chosen_workers(args))
    print(_table(tuned))
    print(tuned.verdict())
    with atomic_write(output / "tuning.json") as partial:
        partial.write_text(json.dumps(tuned.to_mapping(), indent=1) + "\n", encoding="utf-8")
    parameters = output / PARAMETERS
    parameters.unlink(missing_ok=True)
    if tuned.sure and tuned.values:
        parameters.write_text(parameter_file(tuned, runs[0].settings.weights), encoding="utf-8")
        print(f"parameters of the node: {parameters}")
    try:
        write_tuning(output / "tuning.html", tuned)
        print(f"report: {output / 'tuning.html'}")
    except ReportError as error:
        print(f"qdtrack: warning: no report: {error}", file=sys.stderr)
    return 0


def _replayed(args: argparse.Namespace, folder: Path) -> Run:
    """The run of the bags; one that is there and was made the same way is taken."""
    bags = listed(args.inputs)
    names = ("topic", "ground_truth", "weights", "runtime", "precision", "tracker")
    asked = json.dumps({
        "bags": [[bag.place, stamp_of(bag)] for bag in bags], **{name: str(getattr(args, name)) for name in names},
        "digest": checkpoints.load(args.weights).digest, "truth": stamp(args.ground_truth, "gt.txt"),
    })  # fmt: skip
    made = folder.parent / MADE
    if not (made.is_file() and made.read_text(encoding="utf-8") == asked and (folder / RUN).is_file()):
        made.unlink(missing_ok=True)
        given = argparse.Namespace(**{**vars(args), "output": str(folder), "no_pictures": True})
        replay.replay_bags(given, folder, bags)
        made.write_text(asked, encoding="utf-8")
        forget(str(folder))
    return Run.read(folder)


def _table(tuned: Tuned) -> str:
    rows = [["left out", "as it was", "chosen on the others", "gain"]]
    rows += [[fold.name, f"{fold.before:.2f}", f"{fold.after:.2f}", f"{fold.gain:+.2f}"] for fold in tuned.folds]
    return format_table(rows)
