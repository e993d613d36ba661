"""The protocol of TAO (https://taodataset.org), of its toolkit's ``TaoEval`` with the overlap of whole tracks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.data.readers.tao import Annotations, Box, read_results, read_tao
from qdtrack_model.evaluation.protocols import Report
from qdtrack_model.evaluation.protocols.average_precision import (
    AREAS,
    MOST_BOXES,
    TEN_THRESHOLDS,
    Cell,
    Curve,
    by_category,
    curves,
    intersections,
    mean_precision,
    mean_recall,
    strongest,
    within,
)
from qdtrack_model.structures import Array

# Sets of thresholds, each with the indices of .5 and .75.
THRESHOLDS = {"AP_50_75": (np.array([0.5, 0.75]), 0, 1), "AP_50_95": (TEN_THRESHOLDS, 0, 5)}
TOLERANCE = 1e-9  # overlaps are quotients of sums: one of exactly the threshold is a match, rounding or not
DURATIONS = {"all": (0, 1e5), "short": (0, 3), "medium": (3, 10), "long": (10, 1e5)}  # boxes, both ends included
RANGES = {  # name -> area, duration
    "all": ("all", "all"),
    **{f"area_{area}": (area, "all") for area in ("small", "medium", "large")},
    **{f"time_{duration}": ("all", duration) for duration in ("short", "medium", "long")},
}
PERSON, CAR = 805, 211  # the paper's tables have these apart from all others


@dataclass(frozen=True, eq=False)
class Track:
    """A track: its class, mean score, mean area, and its boxes by image."""

    category: int
    score: float
    area: float
    boxes: dict[int, tuple[float, float, float, float]]


def evaluate(ground_truth: str | Path, results: str | Path) -> Report:
    """The official scores as fractions, -1 where there is nothing to find, for both sets of thresholds.

    Raises:
        DocumentError: a file is broken or names what the ground truth has not, or a track has two videos or classes.
    """
    truth = read_tao(ground_truth)
    found = read_results(results, truth, tracks=True)
    _check_ids(found)
    _check_videos(truth.boxes, truth)
    _check_videos(found, truth)
    cells = list(_cells(truth, _tracks(truth.boxes, truth), _tracks(strongest(found), truth)))
    scores = {}
    for name, (thresholds, at_50, at_75) in THRESHOLDS.items():
        ranges = {each: curves(cells, thresholds - TOLERANCE, each) for each in RANGES}
        scores[name] = _summary(ranges, at_50, at_75)
    columns = ["AP", "AP50", "AP75", *(f"AP_{name}" for name in RANGES if name != "all"), "AP_P", "AP_C", "AP_O"]
    table = [["", *columns], *([name, *(_cell(part[column]) for column in columns)] for name, part in scores.items())]
    return Report(scores, table, [] if found else [f"{results}: no results: every object counts as missed"])


def _cell(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.2f}"


def _summary(ranges: Mapping[str, Mapping[int, Curve]], at_50: int, at_75: int) -> dict[str, Any]:
    """The scores under the toolkit's names; for people, cars and others None where there are none."""
    every = ranges["all"]
    thresholds = {"AP": None, "AP50": at_50, "AP75": at_75}
    sizes = {name: part.values() for name, part in ranges.items() if name != "all"}
    means = {
        **{name: mean_precision(every.values(), threshold) for name, threshold in thresholds.items()},
        **{f"AP_{name}": mean_precision(part) for name, part in sizes.items()},
        f"AR@{MOST_BOXES}": mean_recall(every.values()),
        **{f"AR_{name}": mean_recall(part) for name, part in sizes.items()},
    }
    groups = {
        "P": [curve for category, curve in every.items() if category == PERSON],
        "C": [curve for category, curve in every.items() if category == CAR],
        "O": [curve for category, curve in every.items() if category not in (PERSON, CAR)],
    }
    scores: dict[str, Any] = {name: -1.0 if mean is None else mean for name, mean in means.items()}
    for letter, part in groups.items():
        scores |= {f"{name}_{letter}": mean_precision(part, threshold) for name, threshold in thresholds.items()}
    return scores | {"AP_by_category": by_category(every, thresholds)}


def _check_ids(results: Sequence[Box]) -> None:
    """Raise DocumentError for ids that the official code takes for none."""
    for box in results:
        if box.track < 1:
            raise box.node["track_id"].error("ids from 1: the official code lets others take the objects of id 0")


def _check_videos(boxes: Sequence[Box], truth: Annotations) -> None:
    """Raise DocumentError for a track in two videos."""
    videos: dict[int, int] = {}
    for box in boxes:
        video = truth.places[box.image]
        if videos.setdefault(box.track, video) != video:
            raise box.node["track_id"].error(f"a track of one video: it is in {videos[box.track]} and {video}")


def _tracks(boxes: Sequence[Box], truth: Annotations) -> dict[int, list[Track]]:
    """The tracks of each video, of known classes, in the order of the file.

    Raises:
        DocumentError: a track has two classes, or two boxes in an image.
    """
    parts: defaultdict[int, list[Box]] = defaultdict(list)
    for box in boxes:
        parts[box.track].append(box)
    tracks: defaultdict[int, list[Track]] = defaultdict(list)
    for part in parts.values():
        category, placed = _placed(part, truth)
        if placed and category in truth.categories:
            score = float(np.mean([box.score for box in part]))
            area = sum(box.area for box in placed) / len(placed)
            track = Track(category, score, area, {box.image: box.box for box in placed})
            tracks[truth.places[part[0].image]].append(track)
    return tracks


def _placed(part: Sequence[Box], truth: Annotations) -> tuple[int, list[Box]]:
    """The class of a track, and those of its boxes that have an area: others count in its score alone."""
    category = truth.merged.get(part[0].category, part[0].category)
    images = set()
    for box in part:
        if truth.merged.get(box.category, box.category) != category:
            raise box.node["category_id"].error(f"{category}, the class of track {box.track}")
        if box.image in images:
            raise box.node["track_id"].error(f"one box of a track in an image: image {box.image} has two")
        images.add(box.image)
    return category, [box for box in part if box.area > 0]


def _cells(
    truth: Annotations, objects: Mapping[int, list[Track]], results: Mapping[int, list[Track]]
) -> Iterator[Cell]:
    """Each class in each video where it has objects or is known to be absent; videos in order."""
    for video, scope in sorted(truth.scopes.items()):
        ours, theirs = results.get(video, []), objects.get(video, [])
        ours = sorted(ours, key=lambda track: -track.score)
        for category in sorted({track.category for track in theirs} | scope.negative):
            found = [track for track in ours if track.category == category]
            there = [track for track in theirs if track.category == category]
            yield Cell(
                category,
                _overlaps(found, there),
                np.array([track.score for track in found]),
                _inside(found),
                _inside(there),
                category not in scope.not_exhaustive,
            )


def _inside(tracks: Sequence[Track]) -> dict[str, Array]:
    """Which tracks (N,) are in each range."""
    areas, durations = (np.array(values) for values in ([t.area for t in tracks], [len(t.boxes) for t in tracks]))
    return {
        name: within(areas, AREAS[area]) & within(durations, DURATIONS[duration])
        for name, (area, duration) in RANGES.items()
    }


def _overlaps(found: Sequence[Track], truth: Sequence[Track]) -> Array:
    """Sum of intersections over sum of unions (R, G) over all images in which either has a box."""
    images = {image: row for row, image in enumerate(dict.fromkeys(i for t in [*found, *truth] for i in t.boxes))}
    ours, theirs = (_by_image(tracks, images) for tracks in (found, truth))
    common = intersections(ours, theirs).sum(axis=0)
    areas = [(boxes[..., 2] * boxes[..., 3]).sum(axis=0) for boxes in (ours, theirs)]
    union = areas[0][:, None] + areas[1] - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def _by_image(tracks: Sequence[Track], images: Mapping[int, int]) -> Array:
    """Boxes (images, N, 4), of no size where a track has none."""
    boxes = np.zeros((len(images), len(tracks), 4))
    for column, track in enumerate(tracks):
        for image, box in track.boxes.items():
            boxes[images[image], column] = box
    return boxes
