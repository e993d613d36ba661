"""What a page tells of many bags: scores by tags, bags from the worst on, and the way to each bag's own page."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from qdtrack_model.replay.measures import ALL, COUNTS, SCORES
from qdtrack_model.replay.pages import figures
from qdtrack_model.replay.pages.page import Page, table
from qdtrack_model.replay.run import REPORT

_DRAWN = ("HOTA", "IDF1", "MOTA")
_MOST = 60  # rows of a figure


def add_groups(page: Page, content: Mapping[str, Any]) -> None:
    """For each tag a table and a figure of what was scored under each of its values."""
    counts = ("IDSw", "FP", "FN")
    for tag, values in content.get("groups", {}).items():
        if len(values) == 1:
            continue
        rows = []
        for value, told in values.items():
            scores = told["scores"].get(ALL, {})
            cells = [f"{100 * scores[key]:.2f}" if scores else "" for key in SCORES.values()]
            cells += [str(scores.get(COUNTS[name], "")) for name in counts]
            rows.append([value or "(none)", told["sequences"], f"{told['seconds'] / 60:.1f}", *cells])
        page.add(f"<h2>By {html.escape(tag)}</h2>")
        page.add(table(f"Scores by {tag}, in per cent", [tag, "sequences", "minutes", *SCORES, *counts], rows))
        scored = {value or "(none)": told["scores"][ALL] for value, told in values.items() if told["scores"]}
        if len(scored) > 1:
            page.add(page.plot(_dots(scored), f"Scores by {tag}", f"Scores by {tag}, in per cent."))


def add_bags(page: Page, content: Mapping[str, Any]) -> None:
    """The sequences with the lowest scores, and a link to every bag's page."""
    scored = {told["name"]: told["scores"][ALL] for told in content["sequences"] if told["scores"]}
    worst = dict(sorted(scored.items(), key=lambda one: one[1]["hota"])[:_MOST])
    page.add("<h2>Bags</h2>")
    if worst:
        more = f" The {len(worst)} lowest of {len(scored)}." if len(worst) < len(scored) else ""
        page.add(page.plot(_dots(worst), "Scores of each sequence", f"Scores of each sequence, in per cent.{more}"))
    places = dict.fromkeys(told["name"].partition("/")[0] for told in content["sequences"])
    items = (f'<li><a href="{quote(f"{place}/{REPORT}")}">{html.escape(place)}</a></li>' for place in places)
    page.add(
        f'<nav class="panel" aria-label="Reports of bags"><h3>Reports of bags</h3><ul class=bags>{"".join(items)}</ul>'
        "</nav>"
    )


def _dots(scored: Mapping[str, Mapping[str, float]]) -> figures.Figure:
    """A row for each name, a symbol for each score."""
    traces = [
        {
            "type": "scatter", "mode": "markers", "name": name, "y": list(scored),
            "x": [round(100 * scores[SCORES[name]], 2) for scores in scored.values()],
            "marker": {"size": 10, "color": figures.COLOURS[place], "symbol": figures.SYMBOLS[place]},
        }
        for place, name in enumerate(_DRAWN)
    ]  # fmt: skip
    made = figures.figure(traces, "per cent", "", 110 + 26 * len(scored))
    made["layout"]["yaxis"].update({"type": "category", "autorange": "reversed"})
    return made
