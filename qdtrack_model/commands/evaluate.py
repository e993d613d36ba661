"""Body of ``qdtrack evaluate``: a table of scores, and the same as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdtrack_model.commands.arguments import frame_range
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.evaluation.folders import read_folders, score_sequences
from qdtrack_model.evaluation.protocols import Report, bdd100k, lvis, motchallenge, tao, waymo
from qdtrack_model.evaluation.scores import Scores

PERCENT = {"MOTA": "mota", "IDF1": "idf1", "HOTA": "hota", "DetA": "deta", "AssA": "assa", "MOTP": "motp"}
NUMBERS = {
    "IDSw": "id_switches", "FP": "false_positives", "FN": "false_negatives", "MT": "mostly_tracked",
    "ML": "mostly_lost", "objects": "objects",
}  # fmt: skip
# Protocols that cannot be asked for some frames alone.
WHOLE_VIDEOS = {
    "bdd100k": bdd100k.evaluate,
    "tao": tao.evaluate,
    "lvis": lvis.evaluate,
    "waymo": waymo.evaluate,
}
PROTOCOLS = (*motchallenge.DISTRACTORS, *WHOLE_VIDEOS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack evaluate``."""
    parser.add_argument(
        "--ground-truth", type=Path, required=True, metavar="PATH",
        help="a sequence folder (gt/gt.txt in it) or a folder of such sequences; with other protocols their JSON, "
        "of waymo also its folder of tables",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, required=True, metavar="PATH",
        help="a folder with SEQUENCE.txt or SEQUENCE/result.txt, or one file where there is one sequence; or JSON",
    )  # fmt: skip
    parser.add_argument(
        "--protocol", choices=PROTOCOLS,
        help="score exactly as the official code of this benchmark does [scene scoring: any classes]",
    )  # fmt: skip
    parser.add_argument("--frames", type=frame_range, metavar="FIRST-LAST", help="score these frames alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores and counts to FILE")


def format_table(rows: list[list[str]]) -> str:
    """Aligned columns: a header over a rule, and one line for each row; an empty row is a rule."""
    widths = [max(map(len, column)) for column in zip(*filter(None, rows), strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        if row
        else rule
        for row in rows
    ]
    return "\n".join([lines[0], rule, *lines[1:]])


def _rows(scores: Mapping[str, Scores]) -> list[list[str]]:
    """The table's header, and percentages and counts of each entry; the total where there are several sequences."""
    rows = [["sequence", *PERCENT, *NUMBERS]]
    for name, s in scores.items():
        percent = [f"{100 * getattr(s, key):.2f}" for key in PERCENT.values()]
        rows.append([name, *percent, *(str(getattr(s, key)) for key in NUMBERS.values())])
    return [*rows[:-1], [], rows[-1]] if len(scores) > 2 else rows[:-1]


def _warnings(sequences: Mapping[str, tuple[MotBoxes, MotBoxes, Path]]) -> list[str]:
    """What is valid but seldom meant."""
    found = []
    for truth, results, path in sequences.values():
        last = int(truth.frames.max())
        beyond = int((results.frames > last).sum())
        if len(results) == 0:
            found.append(f"{path}: no results in these frames: every object counts as missed")
        if beyond:
            found.append(
                f"{path}: {beyond} boxes lie beyond frame {last}, where the ground truth ends, and count as false "
                f"positives; limit with --frames {int(truth.frames.min())}-{last}"
            )
    return found


def _by_protocol(args: argparse.Namespace) -> Report:
    if args.protocol not in WHOLE_VIDEOS:
        return motchallenge.evaluate(args.protocol, args.ground_truth, args.results, args.frames)
    if args.frames:
        raise ValueError(f"--frames: --protocol {args.protocol} scores whole videos")
    return WHOLE_VIDEOS[args.protocol](args.ground_truth, args.results)


def main(args: argparse.Namespace) -> int:
    """Score, print the table, write the JSON file."""
    content: dict[str, Any]
    if args.protocol:
        report = _by_protocol(args)
        warnings, rows = report.warnings, report.table
        content = {"protocol": args.protocol, "scores": report.scores, **report.more}
    else:
        sequences = read_folders(args.ground_truth, args.results, args.frames)
        scores = score_sequences(sequences)
        warnings, rows = _warnings(sequences), _rows(scores)
        content = {name: s.to_mapping() for name, s in scores.items()}
    for warning in warnings:
        print(f"qdtrack: warning: {warning}", file=sys.stderr)
    print(format_table(rows))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0
