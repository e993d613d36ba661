"""Draw the log of a training: ``python tools/training_curve.py weights.csv curve.png``.

On the left the terms of the loss, on the right what validation said: the score, AP50 of each class, and MOTA and IDF1
of each sequence.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def series(rows: list[dict[str, str]], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one column."""
    found = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
    return [step for step, _ in found], [value for _, value in found]


def main(log: Path, picture: Path) -> None:
    """Read the log, write the picture."""
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure, (losses, scores) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name in rows[0]:
        kind, _, rest = name.partition("/")
        if kind == "loss":
            losses.plot(*series(rows, name), label=rest)
        elif kind == "validation" and (rest == "score" or rest.startswith(("mota/", "idf1/")) or _is_class(rest)):
            width = 2.5 if rest == "score" else 1.2
            scores.plot(*series(rows, name), label=rest, marker=".", linewidth=width)
    for axes, title in ((losses, "loss"), (scores, "validation")):
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    losses.set_yscale("log")
    figure.savefig(picture, dpi=100)


def _is_class(name: str) -> bool:
    """Whether a score is the AP50 of a class over all sets."""
    return name.startswith("ap50/") and name.count("/") == 1


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
