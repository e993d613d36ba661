"""``qdtrack validate``: how good weights are on held-out stills and sequences."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands.evaluate import format_table
from qdtrack_model.commands.network import add_pipeline_arguments, load_pipeline
from qdtrack_model.data.held_out import load_held_out
from qdtrack_model.data.loading import find_sets
from qdtrack_model.evaluation.detection import Precision
from qdtrack_model.training.config import read_recipe
from qdtrack_model.validation import Report, validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack validate``."""
    add = parser.add_argument
    add("--weights", required=True, metavar="NAME|PATH", help="`qdtrack weights` lists names; or a file")
    add("--config", type=Path, required=True, metavar="RECIPE",
        help="what the sets call the classes and which frames are trained on")  # fmt: skip
    add("--data", type=Path, nargs="+", required=True, metavar="PATH",
        help="data sets, or folders of them; docs/data.md shows how each is laid out")  # fmt: skip
    add_pipeline_arguments(parser)
    add("--json", type=Path, metavar="FILE", help="write all scores and counts to FILE")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _precision_row(name: str, label: str, precision: Precision) -> list[str]:
    parts = (_percent(precision.ap50), _percent(precision.ap), str(precision.objects), str(precision.images))
    return [name, label, *parts]


def tables(report: Report) -> list[str]:
    """The tables of stills and of sequences, where there are any, and the score."""
    found = []
    if report.together:
        rows = [["stills", "class", "AP50", "AP", "objects", "images"]]
        rows += [_precision_row(key, name, p) for name, sets in report.stills.items() for key, p in sets.items()]
        rows += [[], *(_precision_row("together", name, p) for name, p in report.together.items())]
        found.append(format_table(rows))
    if report.sequences:
        rows = [["sequence", "MOTA", "IDF1", "HOTA", "IDSw", "FP", "FN", "objects"]]
        for name, s in report.sequences.items():
            counts = (s.id_switches, s.false_positives, s.false_negatives, s.objects)
            rows.append([name, *map(_percent, (s.mota, s.idf1, s.hota)), *map(str, counts)])
        found.append(format_table(rows))
    return [*found, f"score {_percent(report.score)}"]


def main(args: argparse.Namespace) -> int:
    """Validate, print the tables, write the JSON file."""
    recipe = read_recipe(args.config)
    pipeline = load_pipeline(args)
    try:
        held_out = load_held_out(find_sets(args.data, recipe.data), pipeline.runtime.config, recipe.data)
        report = validate(pipeline, held_out)
    finally:
        pipeline.close()
    print("\n\n".join(tables(report)))
    if args.json:
        with atomic_write(args.json) as partial:
            partial.write_text(json.dumps(report.to_mapping(), indent=2) + "\n", encoding="utf-8")
    return 0
