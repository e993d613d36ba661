"""The page of a tuning: what it is worth on bags left out, the settings, and how they were found."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from qdtrack_model.replay.pages import figures
from qdtrack_model.replay.pages.page import Page, table
from qdtrack_model.replay.tuning import Tuned


def write_tuning(path: Path, tuned: Tuned) -> None:
    """Write the page.

    Raises:
        ReportError: Plotly is not installed.
    """
    page = Page("qdtrack: tuning")
    page.add(f"<h1>Tuning</h1><p>{html.escape(tuned.verdict())}.</p>")
    folds = [[fold.name, f"{fold.before:.2f}", f"{fold.after:.2f}", f"{fold.gain:+.2f}"] for fold in tuned.folds]
    page.add(table("Bags left out", ["left out", "as it was", "chosen on the others", "gain"], folds))
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
    mark = {"color": figures.COLOURS[0], "size": 8}
    dots = {"type": "scatter", "mode": "markers", "name": "trials", "x": numbers, "y": tuned.history, "marker": mark}
    steps = figures.line("best so far", np.array(numbers), np.array(best), 1)
    made = figures.figure([dots, steps], "trial", f"{tuned.metric.upper()} [%]")
    made["layout"]["yaxis"]["rangemode"] = "normal"
    page.add(
        page.plot(made, "Score of each trial on all bags", "Score of each trial on all bags, and the best so far.")
    )
    page.write(path)
