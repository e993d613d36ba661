"""The figures of reports, as Plotly takes them: mappings of traces and layout. No meaning rests on colour alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdtrack_model.drawing.embeddings import in_a_plane
from qdtrack_model.evaluation.by_frame import ByFrame
from qdtrack_model.replay.appearance import track_embeddings
from qdtrack_model.replay.measures import spells
from qdtrack_model.replay.sequence import ReplayedSequence
from qdtrack_model.structures import Array

Figure = dict[str, Any]
INK, GRID = "#1b2430", "#dfe5ec"
COLOURS = ("#0b5cad", "#b34700", "#00705c", "#8a2f7a", "#5b5b00", "#b3123a")  # each 4.5:1 and more on white
DASHES = ("solid", "dot", "dash", "longdash", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "star", "hexagon", "pentagon")
MOST_ROWS = 400  # tracks in the timeline
_POINTS = 600  # in the map of embeddings
_IN_A_LINE = 750  # points that a line over time has or more, of twice as many images


def figure(traces: Sequence[Figure], x: str, y: str, height: int = 300, **layout: Any) -> Figure:
    """A figure with the axes' titles and what all have in common."""
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "automargin": True}
    return {
        "data": list(traces),
        "layout": {
            "height": height, "margin": {"l": 48, "r": 12, "t": 12, "b": 40}, "hovermode": "closest",
            "font": {"family": "system-ui, DejaVu Sans, sans-serif", "size": 13, "color": INK},
            "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff",
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "xaxis": {**axis, "title": {"text": x}}, "yaxis": {**axis, "title": {"text": y}, "rangemode": "tozero"},
            **layout,
        },
    }  # fmt: skip


def line(name: str, x: Array, y: Array, place: int = 0, **more: Any) -> Figure:
    """A line, the ``place``-th of its figure."""
    style = {"color": COLOURS[place % len(COLOURS)], "dash": DASHES[place % len(DASHES)], "width": 1.5}
    return {"type": "scatter", "mode": "lines", "name": name, "x": numbers(x), "y": numbers(y), "line": style, **more}


def numbers(values: Array, digits: int = 3) -> list[float | None]:
    """Short JSON numbers; None where there is none."""
    return [round(value, digits) if math.isfinite(value) else None for value in np.asarray(values, float).tolist()]


def duration_of(sequence: ReplayedSequence) -> tuple[str, Array]:
    """What is timed of each image and the milliseconds (F,): live from sending to having its tracks, else computing."""
    timing = sequence.timing
    if "latency" in timing:
        return "latency", 1e3 * timing["latency"]
    parts = [timing[stage] for stage in ("preprocess", "network", "track") if stage in timing]
    stages = [part for part in parts if np.isfinite(part).any()]
    return "processing", 1e3 * np.sum(stages, axis=0) if stages else np.zeros(0)


def durations(sequence: ReplayedSequence) -> Figure:
    """Histogram of the milliseconds of images."""
    name, values = duration_of(sequence)
    seen = values[np.isfinite(values)]
    counts, edges = np.histogram(seen, min(60, max(10, len(seen) // 20)))
    bars = {
        "type": "bar", "x": numbers((edges[1:] + edges[:-1]) / 2, 2), "y": counts.tolist(), "name": "images",
        "width": numbers(np.diff(edges)), "marker": {"color": COLOURS[0]},
    }  # fmt: skip
    return figure([bars], f"{name} [ms]", "images", 260, bargap=0)


def images_a_point(sequence: ReplayedSequence) -> int:
    """How many images share a point of a line over time: one, until there are more than can be told apart."""
    count = len(sequence.frames)
    return 1 if count <= 2 * _IN_A_LINE else math.ceil(count / _IN_A_LINE)


def thinned(values: Array, every: int, how: Callable[[Array], float] = np.nanmean) -> Array:
    """Means, or what ``how`` makes, of every so many values; those of nothing are NaN."""
    if every == 1:
        return values
    parts = (values[first : first + every] for first in range(0, len(values), every))
    return np.array([how(part) if np.isfinite(part).any() else np.nan for part in parts])


def durations_over_time(sequence: ReplayedSequence) -> Figure:
    """Milliseconds of every image, of several that share a point the longest; the camera's period, and which images
    were dropped."""
    name, values = duration_of(sequence)
    seconds, every = sequence.seconds, images_a_point(sequence)
    traces = [line(name, thinned(seconds, every), thinned(values, every, np.nanmax))]
    if math.isfinite(sequence.frame_rate):
        ends = np.array([0.0, seconds[-1]])
        traces.append(line("period of the camera", ends, np.full(2, 1e3 / sequence.frame_rate), 1))
    if "latency" in sequence.timing and (lost := ~np.isfinite(values)).any():
        cross = {"symbol": "x", "size": 8, "color": COLOURS[5]}
        traces.append({
            "type": "scatter", "mode": "markers", "name": f"dropped ({int(lost.sum())})", "marker": cross,
            "x": numbers(seconds[lost]), "y": [0] * int(lost.sum()),
        })  # fmt: skip
    return figure(traces, "time [s]", f"{name} [ms]", 280)


def errors_over_time(sequence: ReplayedSequence, scored: ByFrame | None) -> Figure:
    """Tracks in each image and, with ground truth, objects, misses, false positives and ID switches; of several images
    that share a point the mean, but each image with a switch."""
    every = images_a_point(sequence)
    counts = np.searchsorted(np.sort(sequence.tracks.frames), np.stack([sequence.frames, sequence.frames + 1]))
    traces = [line("tracks", thinned(sequence.seconds, every), thinned(counts[1] - counts[0], every))]
    if scored is not None:
        seconds = sequence.seconds_of(scored.frames)
        for place, (name, column) in enumerate((("objects", 0), ("missed", 3), ("false positives", 2)), start=1):
            traces.append(line(name, thinned(seconds, every), thinned(scored.counts[:, column], every), place))
        switched = scored.counts[:, 4] > 0
        mark = {"symbol": "diamond", "size": 9, "color": COLOURS[5], "line": {"width": 1, "color": "#ffffff"}}
        traces.append({
            "type": "scatter", "mode": "markers", "name": "ID switches", "marker": mark,
            "x": numbers(seconds[switched]), "y": numbers(scored.counts[switched, 4]),
        })  # fmt: skip
    return figure(traces, "time [s]", "number")


def timeline(sequence: ReplayedSequence, classes: Mapping[int, str]) -> tuple[Figure, list[tuple[Any, ...]]]:
    """A row a track, gaps visible; and the same as rows: id, class, first and last second, gaps."""
    tracks = sequence.tracks
    found = spells(tracks.frames, tracks.ids, sequence.frames)
    step = 1 / sequence.frame_rate if math.isfinite(sequence.frame_rate) else 0.0
    first_row = {one: row for row, one in reversed(list(enumerate(tracks.ids.tolist())))}
    starts = {one: int(found[found[:, 0] == one, 1].min()) for one in np.unique(found[:, 0]).tolist()}
    order = sorted(starts, key=lambda one: (starts[one], one))
    shown, rows, traces = order[:MOST_ROWS], [], []
    kinds = {one: int(tracks.classes[first_row[one]]) for one in order}
    lines: dict[int, tuple[list[float | None], list[int | None], list[str | None]]] = {}
    for place, one in enumerate(shown):
        parts = found[found[:, 0] == one]
        begin, end = sequence.seconds[parts[:, 1]], sequence.seconds[parts[:, 2]] + step
        x, y, text = lines.setdefault(kinds[one], ([], [], []))
        for start, stop in zip(begin.tolist(), end.tolist(), strict=True):
            x += [round(start, 3), round(stop, 3), None]
            y += [place, place, None]
            text += [str(one), str(one), None]
        name = classes.get(kinds[one], str(kinds[one]))
        rows.append((one, name, f"{begin[0]:.2f}", f"{end[-1]:.2f}", len(parts) - 1))
    few = len(shown) <= 45
    for place, (kind, (x, y, text)) in enumerate(sorted(lines.items())):
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": classes.get(kind, f"class {kind}"), "x": x, "y": y,
            "text": text, "hovertemplate": "track %{text}<br>%{x:.2f} s<extra></extra>",
            "line": {"color": COLOURS[place % len(COLOURS)], "width": 5 if few else 2},
            "marker": {
                "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 6 if few else 3, "color": COLOURS[place % len(COLOURS)]
            },
        })  # fmt: skip
    made = figure(traces, "time [s]", "track" if few else "tracks as they come", 140 + min(14 * len(shown), 620))
    labels = {"tickmode": "array", "tickvals": list(range(len(shown))), "ticktext": [str(one) for one in shown]}
    axis = labels if few else {"showticklabels": False, "showgrid": False}
    made["layout"]["yaxis"].update({"range": [len(shown), -1], "rangemode": "normal", "zeroline": False, **axis})
    return made, rows


def embedding_map(sequence: ReplayedSequence) -> Figure | None:
    """Embeddings of tracked detections as points in a plane (t-SNE); None where there are too few.

    Raises:
        ValueError: scikit-learn is not installed.
        CacheError: the cached detections are broken.
    """
    mean = len(sequence.tracks) / max(1, len(sequence.frames))
    every = max(1, math.ceil(len(sequence.frames) * mean / _POINTS))
    found = list(track_embeddings(sequence, every))
    if sum(len(rows) for _, rows, _ in found) < 10:
        return None
    ids = [sequence.tracks.ids[rows] for _, rows, _ in found]
    embeddings = [each for _, _, each in found]
    when = [np.full(len(rows), place) for place, rows, _ in found]
    points, names, places = in_a_plane(np.concatenate(embeddings)), np.concatenate(ids), np.concatenate(when)
    traces = []
    for place, one in enumerate(np.unique(names).tolist()):
        mine = names == one
        traces.append({
            "type": "scatter", "mode": "markers", "name": f"track {one}", "x": numbers(points[mine, 0], 2),
            "y": numbers(points[mine, 1], 2), "customdata": numbers(sequence.seconds[places[mine]], 2),
            "hovertemplate": f"track {one}<br>%{{customdata}} s<extra></extra>",
            "marker": {"size": 7, "color": COLOURS[place % 6], "symbol": SYMBOLS[place // 6 % 10],
                       "line": {"width": 0.5, "color": "#ffffff"}},
        })  # fmt: skip
    made = figure(traces, "", "", 420, showlegend=len(traces) <= 24)
    for axis in ("xaxis", "yaxis"):
        made["layout"][axis].update({"showticklabels": False, "zeroline": False, "rangemode": "normal"})
    return made
