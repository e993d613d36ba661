"""``qdtrack tune``: settings of the tracker chosen on bags, with how sure it is that they are better on others."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands import replay
from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.commands.evaluate import format_table
from qdtrack_model.replay import figures
from qdtrack_model.replay.page import Page, ReportError, table
from qdtrack_model.replay.run import RUN, Run
from qdtrack_model.replay.tuning import METRICS, Tuned, parameter_file, tune

PARAMETERS = "tracker.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack tune``."""
    replay.add_arguments(parser)
    add = parser.add_argument
    add("--metric", default="hota", choices=METRICS, help="what is to be as large as possible [hota]")
    add("--trials", type=positive_integer, default=60, help="settings tried in each of BAGS + 1 studies [60]")
    add("--seed", type=int, default=0, help="of the optimiser [0]")


def main(args: argparse.Namespace) -> int:
    """Choose settings, and say what they are worth."""
    args.output.mkdir(parents=True, exist_ok=True)
    runs = [Run.read(path) for path in args.inputs if (path / RUN).is_file()] or [_replayed(args)]
    with tqdm(unit="trial", disable=None) as bar:

        def progress() -> None:
            bar.update()

        tuned = tune(runs, args.output, args.metric, args.trials, args.seed, progress)
    print(_table(tuned))
    print(tuned.verdict())
    with atomic_write(args.output / "tuning.json") as partial:
        partial.write_text(json.dumps(tuned.to_mapping(), indent=1) + "\n", encoding="utf-8")
    parameters = args.output / PARAMETERS
    parameters.unlink(missing_ok=True)
    if tuned.sure and tuned.values:
        parameters.write_text(parameter_file(tuned, runs[0].settings.weights), encoding="utf-8")
        print(f"parameters of the node: {parameters}")
    try:
        _write_page(args.output / "tuning.html", tuned)
        print(f"report: {args.output / 'tuning.html'}")
    except ReportError as error:
        print(f"qdtrack: warning: no report: {error}", file=sys.stderr)
    return 0


def _replayed(args: argparse.Namespace) -> Run:
    """The run of the bags, made once."""
    folder = args.output / "run"
    if (folder / RUN).is_file():
        run = Run.read(folder)
        asked = {str(bag) for bag in args.inputs}
        told = {one["bag"] for one in (*run.content["sequences"], *run.content["left_out"])}
        if told == asked and run.settings.weights == str(args.weights):
            return run
    given = argparse.Namespace(**{**vars(args), "output": folder})
    writer, _ = replay.replay_bags(given)
    return Run.read(writer.folder)


def _table(tuned: Tuned) -> str:
    rows = [["left out", "as it was", "chosen on the others", "gain"]]
    rows += [[fold.bag, f"{fold.before:.2f}", f"{fold.after:.2f}", f"{fold.gain:+.2f}"] for fold in tuned.folds]
    return format_table(rows)


def _write_page(path: Path, tuned: Tuned) -> None:
    page = Page("qdtrack: tuning")
    page.add(f"<h1>Tuning</h1><p>{tuned.verdict()}.</p>")
    folds = [[fold.bag, f"{fold.before:.2f}", f"{fold.after:.2f}", f"{fold.gain:+.2f}"] for fold in tuned.folds]
    page.add(table("Bags left out", ["bag", "as it was", "chosen on the others", "gain"], folds))
    page.add(table("Settings chosen on all bags", ["setting", "value"], sorted(tuned.values.items())))
    if tuned.importance:
        bars = {
            "type": "bar", "orientation": "h", "x": list(tuned.importance.values()), "y": list(tuned.importance),
            "marker": {"color": figures.COLOURS[0]},
        }  # fmt: skip
        page.add(page.plot(figures.figure([bars], "share", ""), "Importance of settings",
                           "How much each setting matters to the score (PED-ANOVA)."))  # fmt: skip
    best = [max(tuned.history[: place + 1]) for place in range(len(tuned.history))]
    numbers = list(range(1, len(best) + 1))
    dots = {"type": "scatter", "mode": "markers", "name": "trials", "x": numbers, "y": tuned.history}
    steps = {"type": "scatter", "mode": "lines", "name": "best so far", "x": numbers, "y": best}
    made = figures.figure([dots, steps], "trial", tuned.metric)
    made["layout"]["yaxis"]["rangemode"] = "normal"
    page.add(
        page.plot(made, "Score of each trial on all bags", "Score of each trial on all bags, and the best so far.")
    )
    page.write(path)
