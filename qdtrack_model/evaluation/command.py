"""Body of ``qdtrack evaluate``: a table of scores, and the same as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from qdtrack_model.arguments import frame_range
from qdtrack_model.evaluation.folders import COMBINED, evaluate_folders, read_folders
from qdtrack_model.evaluation.scores import Scores

PERCENT = {"MOTA": "mota", "IDF1": "idf1", "HOTA": "hota", "DetA": "deta", "AssA": "assa", "MOTP": "motp"}
NUMBERS = {
    "IDSw": "id_switches", "FP": "false_positives", "FN": "false_negatives", "MT": "mostly_tracked",
    "ML": "mostly_lost", "objects": "objects",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack evaluate``."""
    parser.add_argument(
        "--ground-truth", type=Path, required=True, metavar="FOLDER",
        help="a sequence folder (gt/gt.txt in it) or a folder of such sequences",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER",
        help="a folder with SEQUENCE.txt or SEQUENCE/result.txt, or one file where there is one sequence",
    )  # fmt: skip
    parser.add_argument("--frames", type=frame_range, metavar="FIRST-LAST", help="score these frames alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores and counts to FILE")


def format_table(scores: Mapping[str, Scores]) -> str:
    """A table of percentages and counts, one line for each entry of ``scores``."""
    header = ["sequence", *PERCENT, *NUMBERS]
    rows = [
        [
            name,
            *(f"{100 * getattr(s, key):.2f}" for key in PERCENT.values()),
            *(str(getattr(s, k)) for k in NUMBERS.values()),
        ]
        for name, s in scores.items()
    ]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in [header, *rows]
    ]
    rule = "-" * len(lines[0])
    body = lines[1:] if len(rows) < 2 else [*lines[1:-1], rule, lines[-1]]
    return "\n".join([lines[0], rule, *body])


def _warn(args: argparse.Namespace) -> None:
    """Say on stderr what is valid but seldom meant."""
    for truth, results, path in read_folders(args.ground_truth, args.results, args.frames).values():
        if len(results) == 0:
            print(
                f"qdtrack: warning: {path}: no results in these frames: every object counts as missed", file=sys.stderr
            )
            continue
        last = int(truth.frames.max())
        beyond = int((results.frames > last).sum())
        if beyond:
            print(
                f"qdtrack: warning: {path}: {beyond} boxes lie beyond frame {last}, where the ground truth ends, and "
                f"count as false positives; limit with --frames {int(truth.frames.min())}-{last}",
                file=sys.stderr,
            )


def main(args: argparse.Namespace) -> int:
    """Score, print the table, write the JSON file."""
    scores = evaluate_folders(args.ground_truth, args.results, args.frames)
    _warn(args)
    shown = {name: s for name, s in scores.items() if name != COMBINED or len(scores) > 2}
    print(format_table(shown))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({name: s.to_mapping() for name, s in scores.items()}, indent=2) + "\n")
    return 0
