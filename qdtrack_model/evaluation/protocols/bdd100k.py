"""The protocol of BDD100K's box tracking (https://doc.bdd100k.com), of bdd100k's ``box_track`` with scalabel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.readers.bdd100k import CLASSES, Label, Video, read_videos
from qdtrack_model.evaluation.frames import EvaluationError
from qdtrack_model.evaluation.protocols import Report
from qdtrack_model.evaluation.protocols.clear_mot import Counts, count
from qdtrack_model.structures import Array

SUPER_CLASSES = {
    "human": ("pedestrian", "rider"),
    "vehicle": ("car", "truck", "bus", "train"),
    "bike": ("motorcycle", "bicycle"),
}
MAXIMUM_DISTANCE = 0.5  # 1 - IoU of a match
IGNORED_SHARE = 0.5  # a result of which more lies in one ignored region is dropped unless it is right
COLUMNS = {
    "FP": "false_positives", "FN": "misses", "IDSw": "switches", "MT": "mostly_tracked", "PT": "partly_tracked",
    "ML": "mostly_lost", "FM": "fragmentations",
}  # fmt: skip


def evaluate(ground_truth: str | Path, results: str | Path) -> Report:
    """The official scores in per cent of each class, of the super-classes, their AVERAGE and OVERALL.

    Args:
        ground_truth: a folder of JSON files, one a video, or one file.
        results: the same; the frames may be in any order.

    Raises:
        DocumentError, EvaluationError: a file is broken, or videos or frames of both do not fit.
    """
    truth, found = read_videos(ground_truth), read_videos(results)
    if unknown := sorted(found.keys() - truth.keys()):
        raise EvaluationError(f"{results}: video {unknown[0]} is not in the ground truth")
    missing = [name for name in truth if name not in found]
    counts = {name: Counts() for name in CLASSES}
    for name, video in sorted(truth.items()):
        video_results = found.get(name, {index: [] for index in video})
        _check_frames(name, video, video_results, results)
        for category, part in _count_video(video, video_results).items():
            counts[category] += part
    scores = {name: _percent(part) for name, part in counts.items()}
    average = _average(list(scores.values()))
    for name, classes in [*SUPER_CLASSES.items(), ("OVERALL", CLASSES)]:
        scores[name] = _percent(sum((counts[each] for each in classes), Counts()))
    overall = scores.pop("OVERALL")
    scores.update(AVERAGE=average, OVERALL=overall)
    return Report(
        scores,
        _table(scores),
        [f"{results}: no results for video {name}: every object counts as missed" for name in missing],
        {f"m{key}": average[key] for key in ("MOTA", "IDF1", "MOTP")},
    )


def _check_frames(name: str, truth: Video, found: Video, results: str | Path) -> None:
    """Raise EvaluationError where the results of a video have not the frames of the ground truth."""
    for index in sorted(truth.keys() ^ found.keys()):
        what = "is missing in the results" if index in truth else "is not in the ground truth"
        raise EvaluationError(f"{results}: video {name}: frame {index} (frameIndex) {what}")


def _count_video(truth: Video, found: Video) -> dict[str, Counts]:
    """The counts of each class in one video."""
    identities = _identities([label for labels in truth.values() for label in labels])
    frames: dict[str, list[tuple[Array, Array, Array]]] = {name: [] for name in CLASSES}
    for index in sorted(truth):
        objects = [label for label in truth[index] if not label.ignored]
        regions = _boxes([label for label in truth[index] if label.ignored])
        results = [label for label in found[index] if not label.ignored]
        for name in CLASSES:
            ours = [label for label in objects if label.category == name]
            theirs = [label for label in results if label.category == name]
            boxes = _boxes(theirs)
            distances = _distances(_boxes(ours), boxes)
            kept = _matched(distances) | ~_in_region(boxes, regions)
            truth_ids = np.array([identities[label.identity] for label in ours], np.int64)
            result_ids = np.array([_number(label) for label in theirs], np.int64)
            frames[name].append((truth_ids, result_ids[kept], distances[:, kept]))
    return {name: count(part) for name, part in frames.items()}


def _identities(labels: Sequence[Label]) -> dict[str, int]:
    """A number for each id of ground truth: itself where all of the video's are numbers."""
    names = sorted({label.identity for label in labels})
    if all(name.isdigit() for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names)}


def _number(label: Label) -> int:
    """The id of a result; raises DocumentError where it is no number in a text."""
    try:
        return int(label.identity)
    except ValueError:
        raise label.node["id"].error("a whole number in a text") from None


def _boxes(labels: Sequence[Label]) -> Array:
    """Left, top, width, height (N, 4)."""
    return np.array([label.box for label in labels], np.float64).reshape(-1, 4)


def _corners(boxes: Array) -> Array:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _distances(truth: Array, found: Array) -> Array:
    """1 - IoU (T, R), NaN where that is too far for a match."""
    distances = 1 - box_iou(_corners(truth), _corners(found))
    return np.where(distances > MAXIMUM_DISTANCE, np.nan, distances)


def _matched(distances: Array) -> Array:
    """Which results (R,) a one-to-one assignment gives to objects: as many as possible, then the nearest."""
    close = np.isfinite(distances)
    worst = 1.0 + len(distances)  # more than all matches together
    rows, columns = linear_sum_assignment(np.where(close, distances, worst))
    matched = np.zeros(distances.shape[1], bool)
    matched[columns[close[rows, columns]]] = True
    return matched


def _in_region(boxes: Array, regions: Array) -> Array:
    """Which boxes (N,) lie by more than the share in any one of the ignored regions."""
    if not len(regions):
        return np.zeros(len(boxes), bool)
    ours, theirs = _corners(boxes)[:, None], _corners(regions)[None]
    sides = np.minimum(ours[..., 2:], theirs[..., 2:]) - np.maximum(ours[..., :2], theirs[..., :2])
    intersection = np.maximum(sides, 0).prod(axis=2)
    areas = boxes[:, 2] * boxes[:, 3]
    share = np.divide(intersection, areas[:, None], out=np.zeros_like(intersection), where=areas[:, None] != 0)
    return np.asarray((share > IGNORED_SHARE).any(axis=1))


def _percent(counts: Counts) -> dict[str, Any]:
    ratios = {"MOTA": counts.mota, "MOTP": counts.motp, "IDF1": counts.idf1}
    scores: dict[str, Any] = {name: None if ratio is None else 100 * ratio for name, ratio in ratios.items()}
    return scores | {name: getattr(counts, field) for name, field in COLUMNS.items()}


def _average(classes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Ratios as the mean over all classes, 0 where one is not defined; counts summed."""
    means = {name: sum(part[name] or 0.0 for part in classes) / len(classes) for name in ("MOTA", "MOTP", "IDF1")}
    return means | {name: sum(part[name] for part in classes) for name in COLUMNS}


def _table(scores: dict[str, dict[str, Any]]) -> list[list[str]]:
    rows = [["class", "MOTA", "IDF1", "MOTP", *COLUMNS]]
    for name, part in scores.items():
        if name in ("human", "AVERAGE"):  # the first of the super-classes, and of what is over all
            rows.append([])
        ratios = ["-" if part[key] is None else f"{part[key]:.2f}" for key in ("MOTA", "IDF1", "MOTP")]
        rows.append([name, *ratios, *(str(part[key]) for key in COLUMNS)])
    return rows
