"""The plots of the demonstration's report, as PNG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.optimize import linear_sum_assignment

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.drawing.overlay import colour_of
from qdtrack_model.structures import Array
from qdtrack_ros.demo.results import DemoResults

_BLUE, _ORANGE, _GREY, _INK = "#1565c0", "#e65100", "#b9c3ce", "#1b2430"
_MATCH_IOU = 0.5


def latency(results: DemoResults) -> bytes:
    """Latency of each image in milliseconds, with its median, 95th percentile and the camera's period."""
    figure, axes = _axes(2.6)
    values = 1e3 * results.latencies
    seconds = _seconds(results)
    axes.plot(seconds, values, color=_BLUE, linewidth=1.1)
    seen = values[np.isfinite(values)]
    if len(seen):
        median, high = np.percentile(seen, [50, 95])
        axes.axhline(median, color=_BLUE, linewidth=0.8, alpha=0.6, label=f"median {median:.1f} ms")
        axes.axhline(high, color=_ORANGE, linewidth=0.8, label=f"95 % below {high:.1f} ms")
    period = 1e3 / results.material.frame_rate
    axes.axhline(period, color=_INK, linewidth=0.8, linestyle="--", label=f"period of the camera {period:.0f} ms")
    lost = ~np.isfinite(values)
    if lost.any():
        axes.plot(seconds[lost], np.zeros(lost.sum()), "x", color="#c62828", label=f"{lost.sum()} lost")
    axes.set(xlabel="time [s]", ylabel="latency [ms]", ylim=(0, None))
    _legend(axes)
    return _png(figure)


def alive(results: DemoResults) -> bytes:
    """Number of tracks in each image, and of scored objects where there is ground truth."""
    figure, axes = _axes(2.4)
    counts = [len(results.received[stamp].tracks) if stamp in results.received else np.nan for stamp in results.sent]
    seconds = _seconds(results)
    truth = results.material.ground_truth
    if truth is not None:
        frames = np.array([results.material.frame_of[stamp] for stamp in results.sent])
        objects = np.array([np.sum((truth.frames == frame) & (truth.confidences > 0)) for frame in frames], float)
        objects[(frames < truth.frames.min()) | (frames > truth.frames.max())] = np.nan
        axes.step(seconds, objects, color=_GREY, linewidth=2.5, where="post", label="objects")
    axes.step(seconds, counts, color=_BLUE, linewidth=1.1, where="post", label="tracks")
    axes.set(xlabel="time [s]", ylabel="number", ylim=(0, None))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return _png(figure)


def identities(results: DemoResults) -> bytes:
    """Which track was on which object, over time."""
    truth = results.material.ground_truth
    assert truth is not None
    scored = truth[truth.confidences > 0]
    stamps = {results.material.frame_of[stamp]: stamp for stamp in results.sent}
    start = next(iter(results.sent))
    assigned = _assignments(scored, results.boxes())
    order = sorted(np.unique(scored.ids).tolist(), key=lambda one: scored.frames[scored.ids == one].min())
    figure, axes = _axes(0.9 + 0.17 * len(order))
    width = 1.02 / results.material.frame_rate
    for row, identity in enumerate(order):
        frames = [frame for frame in scored.frames[scored.ids == identity].tolist() if frame in stamps]
        tracks = [assigned.get((frame, identity), -1) for frame in frames]
        spans = [((stamps[frame] - start) * 1e-9, width) for frame in frames]
        colours = [_GREY if track < 0 else tuple(c / 255 for c in colour_of(track - 1)[::-1]) for track in tracks]
        axes.broken_barh(spans, (row - 0.36, 0.72), facecolors=colours, linewidth=0)
    axes.set(xlabel="time [s]", ylabel="object", xlim=(0, _seconds(results)[-1] + width), ylim=(len(order) - 0.4, -0.6))
    axes.set_yticks(range(len(order)), [str(identity) for identity in order], fontsize=6.5)
    axes.grid(False, axis="y")
    return _png(figure)


def _assignments(truth: MotBoxes, found: MotBoxes) -> dict[tuple[int, int], int]:
    """(frame, object) -> id of the track on it, by the best one-to-one overlaps in each frame."""
    pairs = {}
    for frame in np.unique(truth.frames).tolist():
        objects, tracks = truth[truth.frames == frame], found[found.frames == frame]
        overlap = box_iou(objects.boxes, tracks.boxes)
        overlap[overlap < _MATCH_IOU] = 0
        for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[row, column] > 0:
                pairs[frame, int(objects.ids[row])] = int(tracks.ids[column])
    return pairs


def _seconds(results: DemoResults) -> Array:
    stamps = np.array(list(results.sent), np.int64)
    return (stamps - stamps[0]) * 1e-9


def _axes(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(11, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(True, color="#e6ebf0", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.margins(x=0.005)
    axes.tick_params(labelsize=8)
    return figure, axes


def _legend(axes: Any) -> None:
    """Above the plot, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8, ncols=4)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
