"""The page of a comparison: what differs and how sure that is, where, and both overlays side by side."""

from __future__ import annotations

import html
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np

from qdtrack_model.fleet.places import is_remote
from qdtrack_model.replay.comparison import LEVEL, Comparison, Pair, differences, pair_of
from qdtrack_model.replay.pages import figures
from qdtrack_model.replay.pages.page import Page, play_button, table, video
from qdtrack_model.replay.run import Run
from qdtrack_model.replay.sequence import OVERLAY, ReplayedSequence
from qdtrack_model.structures import Array

_MOST = 40  # moments of difference listed
_SECTIONS = 8  # sequences shown one by one
_APART = 1.0  # seconds between two of them


def write_comparison(path: Path, first: Run, second: Run, comparison: Comparison) -> None:
    """Write the page.

    Raises:
        ReportError: Plotly is not installed.
    """
    names = first.folder.name, second.folder.name
    page = Page(f"qdtrack: {names[1]} against {names[0]}")
    page.add(
        f"<h1>{html.escape(names[1])} against {html.escape(names[0])}</h1>"
        f"<p class=soft>Differences are of whole runs, intervals ({LEVEL} %) of a paired bootstrap over "
        f"{comparison.segments} segments of time. Where 0 lies in the interval the difference may be chance.</p>"
        f"<p>{html.escape(comparison.told())}.</p>"
    )
    rows = [
        [each.name.replace("_", " "), f"{each.baseline:.2f}", f"{each.value:.2f}", f"{each.difference:+.2f}",
         f"{each.low:+.2f} to {each.high:+.2f}" if np.isfinite(each.low) else "too short", each.verdict]
        for each in comparison.differences
    ]  # fmt: skip
    page.add(table("Differences (scores in per cent)", ["figure", *names, "difference", "interval", "verdict"], rows))
    if comparison.only:
        page.add(f"<p>Only in one of the runs: {html.escape(', '.join(comparison.only))}.</p>")
    page.add(page.plot(_forest(comparison), "Differences with their intervals", "Differences of the scores with their "
                       "intervals, in per cent; one that does not touch 0 is sure."))  # fmt: skip
    if len(comparison.sequences) > 1:
        page.add(_by_sequence(comparison))
    if len(comparison.sequences) <= _SECTIONS and not (is_remote(first.place) or is_remote(second.place)):
        for one in comparison.sequences:
            _add_pair(page, path, pair_of(first, second, one.name), names)
    page.write(path)


def _by_sequence(comparison: Comparison) -> str:
    """A table of what differs in each sequence, the largest differences first."""
    found = [(one.name, differences(*one.sums, one.scored, len(set(one.images)) == 1)) for one in comparison.sequences]
    found.sort(key=lambda one: -max(abs(each.difference) for each in one[1] if np.isfinite(each.difference)))
    rows = [
        [name, *(f"{each.difference:+.2f}" for each in each_one), ", ".join(
            f"{each.name.replace('_', ' ')} {each.verdict}" for each in each_one if each.verdict in ("better", "worse")
        ) or "not sure"]
        for name, each_one in found
    ]  # fmt: skip
    header = ["sequence", *(each.name.replace("_", " ") for each in comparison.differences), "verdict"]
    return table("Differences in each sequence", header, rows, text=(len(header) - 1,))


def _forest(comparison: Comparison) -> figures.Figure:
    """Differences as points with their intervals as bars."""
    shown = [each for each in comparison.differences if each.name in ("mota", "idf1", "hota", "deta", "assa", "loca")]
    shown = shown or comparison.differences
    values = np.array([each.difference for each in shown])
    bars = {
        "type": "data", "symmetric": False, "color": figures.INK, "thickness": 2, "width": 6,
        "array": figures.numbers(np.array([each.high for each in shown]) - values),
        "arrayminus": figures.numbers(values - np.array([each.low for each in shown])),
    }  # fmt: skip
    points = {
        "type": "scatter", "mode": "markers", "x": figures.numbers(values), "y": [each.name for each in shown],
        "error_x": bars, "marker": {"size": 10, "color": figures.COLOURS[0], "symbol": "diamond"}, "name": "difference",
    }  # fmt: skip
    made = figures.figure([points], "difference", "", 90 + 36 * len(shown))
    made["layout"]["xaxis"].update({"zerolinecolor": figures.INK, "zerolinewidth": 2})
    made["layout"]["yaxis"]["autorange"] = "reversed"
    return made


def _add_pair(page: Page, path: Path, pair: Pair, names: tuple[str, str]) -> None:
    page.add(f"<h2>{html.escape(pair.name)}</h2>")
    videos = [one.folder / OVERLAY for one in (pair.first, pair.second)]
    watched = all(file.is_file() for file in videos)
    if watched:
        places = (quote(os.path.relpath(file, path.parent)) for file in videos)
        shown = (
            f"<figure class=panel>{video(pair.name, place, f'{pair.name} of {name}')}"
            f"<figcaption>{html.escape(name)}</figcaption></figure>"
            for place, name in zip(places, names, strict=True)
        )
        page.add(f"<div class=pair>{''.join(shown)}</div>")
    seconds, series, what = _over_time(pair)
    every = figures.images_a_point(pair.first)
    mean = f" A point is the mean of {every} images." if every > 1 else ""
    traces = [
        figures.line(name, figures.thinned(seconds, every), figures.thinned(values, every), place)
        for place, (name, values) in enumerate(zip(names, series, strict=True))
    ]
    page.add(page.plot(
        figures.figure(traces, "time [s]", what), f"{what} in each image of both runs",
        f"{what.capitalize()} in each image of both runs.{mean} A click plays both videos there.", pair.name,
    ))  # fmt: skip
    moments = differing(seconds, series)
    items = [
        f"<li>{play_button(pair.name, at, f'{what} differ') if watched else f'{at:.1f} s'} {what}: {before:g} in "
        f"{html.escape(names[0])}, {after:g} in {html.escape(names[1])}</li>"
        for at, before, after in moments
    ]
    page.add(
        f"<div class=panel><h3>Where they differ most</h3><ul class=moments tabindex=0 "
        f'aria-label="Where the runs differ in {html.escape(pair.name)}">{"".join(items)}</ul></div>'
        if items
        else "<p>They differ in no image.</p>"
    )


def _over_time(pair: Pair) -> tuple[Array, tuple[Array, Array], str]:
    """Seconds of the images that both runs have, what is compared in each (errors or tracks) and its name."""
    if pair.scored is None:
        common = np.intersect1d(pair.first.frames, pair.second.frames)
        first, second = (_tracks_in(one, common) for one in (pair.first, pair.second))
        return pair.first.seconds_of(common), (first, second), "tracks"
    common = np.union1d(pair.scored[0].frames, pair.scored[1].frames)
    series = []
    for parts in pair.scored:
        values = np.zeros(len(common))
        values[np.searchsorted(common, parts.frames)] = parts.counts[:, [2, 3, 4]].sum(1)
        series.append(values)
    return pair.first.seconds_of(common), (series[0], series[1]), "errors"


def _tracks_in(sequence: ReplayedSequence, frames: Array) -> Array:
    ordered = np.sort(sequence.tracks.frames)
    return (np.searchsorted(ordered, frames, "right") - np.searchsorted(ordered, frames)).astype(float)


def differing(seconds: Array, series: tuple[Array, Array]) -> list[tuple[float, float, float]]:
    """The moments that differ most, at least a second apart, largest first: seconds, and the values of both."""
    gap = np.abs(series[1] - series[0])
    chosen: list[int] = []
    for place in np.argsort(-gap, kind="stable").tolist():
        if gap[place] == 0 or len(chosen) == _MOST:
            break
        if all(abs(seconds[place] - seconds[other]) >= _APART for other in chosen):
            chosen.append(place)
    return [(float(seconds[place]), float(series[0][place]), float(series[1][place])) for place in chosen]
