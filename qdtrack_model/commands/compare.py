"""``qdtrack compare``: two runs of the same bags, for people and for CI."""

from __future__ import annotations

import argparse
import json
import math
import sys

from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands.arguments import add_workers_arguments, chosen_workers
from qdtrack_model.commands.evaluate import format_table
from qdtrack_model.fleet.places import below, written
from qdtrack_model.replay.comparison import Comparison, Limit, compare
from qdtrack_model.replay.pages.comparison import write_comparison
from qdtrack_model.replay.pages.page import ReportError
from qdtrack_model.replay.run import Run

FAILED = 1  # exit status where a limit was passed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack compare``."""
    add = parser.add_argument
    add("baseline", metavar="RUN_A", help="run that `qdtrack replay` wrote: the baseline")
    add("run", metavar="RUN_B", help="run of the same bags with what is new")
    add("--output", metavar="FOLDER", help="where comparison.html and .json go [RUN_B]")
    add("--segment", type=float, default=10.0, metavar="SECONDS", help="length of the segments of the bootstrap [10]")
    add_workers_arguments(parser)
    add("--fail-if", action="append", default=[], metavar="CONDITION",
        help='status 1 where it holds, such as "idf1 < baseline - 0.5"; may be given several times')  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Compare, print the differences, and judge."""
    if not args.segment > 0:
        raise ValueError(f"--segment {args.segment:g}: expected a positive number of seconds")
    limits = [Limit.parse(text) for text in args.fail_if]
    first, second = Run.read(args.baseline), Run.read(args.run)
    found = compare(first, second, args.segment, workers=chosen_workers(args))
    print(_table(found))
    if found.same_images:
        print(f"compared: {found.told()}")
    else:
        print(f"qdtrack: warning: {found.told()}", file=sys.stderr)
    for name in found.only:
        print(f"qdtrack: warning: {name} is in one of the runs alone", file=sys.stderr)
    by_name = {each.name: each for each in found.differences}
    failed = [limit.text for limit in limits if limit.fails(by_name)]
    place = args.output or args.run
    content = {**found.to_mapping(), "failed": failed}
    with written(place) as folder:
        with atomic_write(folder / "comparison.json") as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        try:
            write_comparison(folder / "comparison.html", first, second, found)
            print(f"report: {below(place, 'comparison.html')}")
        except ReportError as error:
            print(f"qdtrack: warning: no report: {error}", file=sys.stderr)
    for text in failed:
        print(f"qdtrack: FAILED: {text}", file=sys.stderr)
    return FAILED if failed else 0


def _table(found: Comparison) -> str:
    rows = [["", "baseline", "run", "difference", "interval", "verdict"]]
    for each in found.differences:
        rows.append([
            each.name, f"{each.baseline:.2f}", f"{each.value:.2f}", f"{each.difference:+.2f}",
            f"{each.low:+.2f} .. {each.high:+.2f}" if math.isfinite(each.low) else "too short", each.verdict,
        ])  # fmt: skip
    return format_table(rows)
