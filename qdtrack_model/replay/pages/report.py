"""The report of a run: one HTML page, and the timings as JSON; both from the run's folder alone."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.replay.measures import ALL, COUNTS, SCORES, scored_classes
from qdtrack_model.replay.pages import figures
from qdtrack_model.replay.pages.page import Page, folded, picture, play_button, table, tiles, video
from qdtrack_model.replay.pages.summary import add_bags, add_groups
from qdtrack_model.replay.pictures import read_moments
from qdtrack_model.replay.run import REPORT, Run
from qdtrack_model.replay.sequence import OVERLAY, ReplayedSequence

TIMINGS = "timing.json"
_WAYS = {
    "lockstep": "every image, one after the other, as fast as it goes",
    "live": "played over ROS 2 into the node in another process at the pace of the bag",
    "cached": "the detections of an earlier run, tracked again",
}


def write_report(run: Run, path: Path | None = None, apart: bool = False) -> Path:
    """Write ``report.html`` and ``timing.json``.

    Args:
        run: that lies here; one whose bags have pages ``apart`` may hold nothing but ``run.json``.
        path: of the page, if not in the run's folder; what the run's sequences need is beside or below it.
        apart: leave to each bag's own page what is shown of its images, and lead there.

    Returns:
        The path of the page.

    Raises:
        ReportError: Plotly is not installed.
        RunError: a file of the run is missing or broken.
    """
    path = path or run.folder / REPORT
    name = path.parent.resolve().name
    page = Page(f"qdtrack: {name}")
    settings = run.settings
    page.add(
        f"<h1>{html.escape(name)}</h1><p class=soft>{html.escape(_WAYS[settings.way].capitalize())}. Weights "
        f"<code>{html.escape(settings.weights)}</code>, {html.escape(settings.runtime)}.</p>"
    )
    if run.content["total"]:
        page.add(tiles(headline(run.content["total"][ALL])))
    add_groups(page, run.content)
    if apart:
        add_bags(page, run.content)
    if run.content["total"]:
        page.add(scores_table(run.content))
    page.add(tracks_table(run.content), _left_out(run.content))
    if not apart:
        timings = {}
        for told, sequence in run.sequences():
            timings[told["name"]] = timing_of(told, sequence)
            _add_sequence(page, path.parent, run, told, sequence, timings[told["name"]])
        with atomic_write(path.parent / TIMINGS) as partial:
            partial.write_text(json.dumps(timings, indent=1) + "\n", encoding="utf-8")
    page.add(
        folded("Settings of the tracker", f"<pre>{html.escape(json.dumps(run.content['tracker'], indent=1))}</pre>")
    )
    page.write(path)
    return path


def headline(scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The scores and counts that are shown large."""
    return [
        *((name, f"{100 * scores[key]:.1f}") for name, key in SCORES.items()),
        *((name, str(scores[key])) for name, key in list(COUNTS.items())[:3]),
    ]


def scores_table(content: Mapping[str, Any]) -> str:
    """Scores of each sequence and class, and of all together."""
    rows = [(told["name"], kind, one) for told in content["sequences"] for kind, one in told["scores"].items()]
    rows += [("total", kind, one) for kind, one in content["total"].items()] if len(content["sequences"]) > 1 else []
    cells = [
        [name, kind, *(f"{100 * one[key]:.2f}" for key in SCORES.values()), *(one[key] for key in COUNTS.values())]
        for name, kind, one in rows
    ]
    return table(
        "Scores of each camera and class, in per cent, and counts", ["camera", "class", *SCORES, *COUNTS], cells
    )


def tracks_table(content: Mapping[str, Any]) -> str:
    """What tracks tell of themselves, of each sequence and class."""
    keys = ("tracks", "boxes", "median_seconds", "fragments", "reidentifications", "flickers", "flickers_per_minute")
    cells = [
        [told["name"], kind, *(f"{one[key]:g}" for key in keys)]
        for told in content["sequences"]
        for kind, one in told["tracks"].items()
    ]
    return table("Tracks", ["camera", "class", *(key.replace("_", " ") for key in keys)], cells)


def _left_out(content: Mapping[str, Any]) -> str:
    """Images and bags that were left out, and ground truth that could not be used."""
    rows = [
        (told["name"], f"{why}: {count}")
        for told in content["sequences"]
        for why, count in told["left_out"].items()
        if count
    ]
    rows += [
        (told["name"], f"ground truth, {why}: {count}")
        for told in content["sequences"]
        for why, count in ((told["truth"] or {}).get("left_out") or {}).items()
    ]
    rows += [(each["bag"], each["reason"]) for each in content["left_out"]]
    return table("Left out", ["where", "what"], rows, text=(1,)) if rows else "<p>Nothing was left out.</p>"


def timing_of(told: Mapping[str, Any], sequence: ReplayedSequence) -> dict[str, Any]:
    """Milliseconds of each stage and of the whole (median, 95th percentile, largest), and images dropped."""
    name, whole = figures.duration_of(sequence)
    stages = {stage: 1e3 * values for stage, values in sequence.timing.items() if stage != name} | {name: whole}
    found: dict[str, Any] = {"frames": len(sequence.frames), "dropped": int(told["left_out"].get("dropped", 0))}
    for stage, values in stages.items():
        seen = values[np.isfinite(values)]
        if len(seen):
            middle, high = np.percentile(seen, [50, 95])
            found[f"{stage} [ms]"] = {
                "p50": round(float(middle), 3), "p95": round(float(high), 3), "max": round(float(seen.max()), 3)
            }  # fmt: skip
    return found


def _add_sequence(
    page: Page, folder: Path, run: Run, told: Mapping[str, Any], sequence: ReplayedSequence, timing: Mapping[str, Any]
) -> None:
    name = told["name"]
    scored = scored_classes(sequence, run.settings.classes).get(ALL)
    page.add(f"<h2>{html.escape(name)}</h2>", f"<p class=soft>{html.escape(_described(told))}</p>")
    if told.get("advice"):
        page.add(f"<p>{html.escape(told['advice'])}</p>")
    moments = read_moments(sequence)
    source = quote(os.path.relpath(sequence.folder / OVERLAY, folder))
    watched = (sequence.folder / OVERLAY).is_file()
    side = moments_list(sequence, name, moments, watched)
    if watched:
        page.add(f"<div class=watch><div class=panel>{video(name, source, f'Overlay of {name}')}</div>{side}</div>")
    elif moments:
        page.add(side)
    kind, values = figures.duration_of(sequence)
    every = figures.images_a_point(sequence)
    longest, mean = (f" A point is the {what} of {every} images." if every > 1 else "" for what in ("longest", "mean"))
    if np.isfinite(values).any():
        whole = timing[f"{kind} [ms]"]
        told_of = f"Median {whole['p50']:.1f} ms, 95 % below {whole['p95']:.1f} ms, {timing['dropped']} images dropped."
        rows = [[stage, *values.values()] for stage, values in timing.items() if isinstance(values, Mapping)]
        over_time = f"{kind.capitalize()} of each image over time"
        page.add(
            page.plot(figures.durations_over_time(sequence), over_time, f"{over_time}.{longest} {told_of}", name),
            page.plot(figures.durations(sequence), f"Histogram of {kind}", f"How many images took how long. {told_of}"),
            folded("Stages as a table", table(f"Time of stages of {name}", ["stage", "p50", "p95", "largest"], rows)),
        )
    page.add(page.plot(
        figures.errors_over_time(sequence, scored), "Tracks and errors in each image over time",
        f"What each image shows.{mean} A click plays the video there.", name,
    ))  # fmt: skip
    made, lasting = figures.timeline(sequence, run.settings.classes)
    total = told["tracks"][ALL]["tracks"]
    more = f" The first {len(lasting)} of {total}." if total > len(lasting) else ""
    header = ["track", "class", "from [s]", "to [s]", "gaps"]
    page.add(
        page.plot(made, "When each track was seen", f"A row a track, in which a gap is a time unseen.{more}", name),
        folded("Tracks as a table", table(f"Tracks of {name}", header, lasting)),
    )
    _add_map(page, sequence, name)


def _add_map(page: Page, sequence: ReplayedSequence, name: str) -> None:
    try:
        embeddings = figures.embedding_map(sequence)
    except ValueError as error:
        page.add(f"<p>No map of embeddings: {html.escape(str(error))}</p>")
        return
    if embeddings is not None:
        page.add(page.plot(
            embeddings, "Embeddings of tracked objects in a plane", "Embeddings in a plane by t-SNE: what looks alike "
            "to the network is near each other. Each track has its own symbol and colour.", name,
        ))  # fmt: skip


def _described(told: Mapping[str, Any]) -> str:
    size = "x".join(map(str, told["size"])) if told["size"] else "unknown size"
    rate = f"{told['frame_rate']:g} images/s" if told["frame_rate"] else "unknown rate"
    truth = told["truth"]
    scored = f"scored on {truth['frames']} images by {truth['source']}" if truth else "no ground truth"
    return f"{told['bag']}, {told['topic']}: {told['frames']} images of {size} at {rate}, {scored}."


def moments_list(sequence: ReplayedSequence, name: str, moments: list[dict[str, Any]], watched: bool) -> str:
    """The worst moments with crops before and after, each with a button that plays it."""
    if not moments:
        return "<p>No worst moments.</p>"
    items = []
    for place, moment in enumerate(moments):
        text = f"{moment['kind']}, frame {moment['frame']}: {moment['text']}"
        button = play_button(name, moment["seconds"], moment["text"]) if watched else f"{moment['seconds']:.1f} s"
        crops = "".join(
            picture(_inside(sequence.folder, moment[side]), f"{side}, moment {place + 1}: {moment['kind']}")
            for side in ("before", "after")
        )
        items.append(f"<li>{button} {html.escape(text)}<br>{crops}</li>")
    heading = f"Worst moments of {name}"
    return (
        f'<div class=panel><h3>Worst moments</h3><ul class=moments tabindex=0 aria-label="{html.escape(heading)}">'
        f"{''.join(items)}</ul></div>"
    )


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder; a name that leads out of it is none of its."""
    path = folder / name
    return path if path.resolve().is_relative_to(folder.resolve()) else folder / "nothing"
