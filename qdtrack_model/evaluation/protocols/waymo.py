"""Tracking in the camera boxes of the Waymo Open Dataset, by motmetrics as in the tables of QDTrack's paper.

No official tool scores camera boxes in plain files. The challenge's server is stricter: it chooses the cut-off of
scores with the best MOTA, and knows levels of difficulty.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.readers import waymo_parquet
from qdtrack_model.data.readers.waymo import Label, Segment, read_segments
from qdtrack_model.evaluation.frames import EvaluationError
from qdtrack_model.evaluation.protocols import Report
from qdtrack_model.evaluation.protocols.clear_mot import Counts, count
from qdtrack_model.structures import Array

MATCH_IOU = {"vehicle": 0.7, "pedestrian": 0.5, "cyclist": 0.5}  # signs are not scored
TOLERANCE = 1e-9  # corners are computed: an overlap of exactly the limit is a match, rounding or not
COLUMNS = {
    "FP": "false_positives", "FN": "misses", "IDSw": "switches", "MT": "mostly_tracked", "PT": "partly_tracked",
    "ML": "mostly_lost", "FM": "fragmentations", "objects": "objects", "IDTP": "id_true_positives",
    "IDFP": "id_false_positives", "IDFN": "id_false_negatives", "matches": "matches",
}  # fmt: skip
RATIOS = ("MOTA", "IDF1", "MOTP")


def evaluate(ground_truth: str | Path, results: str | Path) -> Report:
    """The scores as fractions of each class over all segments and cameras, and of ``all``: the mean of the classes.

    Beside them ``by_segment_and_camera`` has the parts. Frames and cameras that the results lack count as empty.

    Args:
        ground_truth: a JSON file, or the data set's tables (``camera_box/`` in the folder, or in its ``validation/``).
        results: a JSON file.

    Raises:
        DocumentError, DataError, EvaluationError: a file is broken, or the results have what the ground truth has not.
    """
    tables = Path(ground_truth).is_dir()
    truth = waymo_parquet.read_segments(Path(ground_truth)) if tables else read_segments(ground_truth)
    found = read_segments(results)
    _check_known(truth, found, results)
    parts: dict[str, dict[str, Counts]] = {category: {} for category in MATCH_IOU}
    for name, segment in sorted(truth.items()):
        for camera in sorted({camera for frame in segment.values() for camera in frame}):
            for category in MATCH_IOU:
                parts[category][f"{name}/{camera}"] = _count_camera(segment, found.get(name, {}), camera, category)
    totals = {category: sum(part.values(), Counts()) for category, part in parts.items()}
    scores = {category: _scores(total) for category, total in totals.items()}
    scores["all"] = _all(scores, sum(totals.values(), Counts()))
    kept = ("MOTA", "IDF1", "FP", "FN", "IDSw", "objects")
    by_part = {
        category: {place: {key: _scores(counts)[key] for key in kept} for place, counts in part.items()}
        for category, part in parts.items()
    }
    missing = [name for name in truth if name not in found]
    warnings = [f"{results}: no results for segment {name}: every object counts as missed" for name in missing]
    return Report(scores, _table(scores), warnings, {"by_segment_and_camera": by_part})


def _check_known(truth: dict[str, Segment], found: dict[str, Segment], results: str | Path) -> None:
    """Raise EvaluationError for a segment, frame or camera of the results that the ground truth has not."""
    for name, segment in found.items():
        if name not in truth:
            raise EvaluationError(f"{results}: segment {name} is not in the ground truth")
        for time, frame in segment.items():
            if time not in truth[name]:
                raise EvaluationError(f"{results}: segment {name}: frame {time} is not in the ground truth")
            for camera in frame:
                if not any(camera in cameras for cameras in truth[name].values()):
                    raise EvaluationError(f"{results}: segment {name}: camera {camera} is not in the ground truth")


def _count_camera(truth: Segment, found: Segment, camera: int, category: str) -> Counts:
    """The counts of one class in one camera of a segment; ids live there alone."""
    pairs = []
    for time in sorted(truth):
        objects = [label for label in truth[time].get(camera, []) if label.category == category]
        results = [label for label in found.get(time, {}).get(camera, []) if label.category == category]
        pairs.append((objects, results))
    ours, theirs = _numbers(objects for objects, _ in pairs), _numbers(results for _, results in pairs)
    frames = []
    for objects, results in pairs:
        similarity = box_iou(_boxes(objects), _boxes(results))
        close = similarity >= MATCH_IOU[category] - TOLERANCE
        distances = np.where(close, 1 - similarity, np.nan)
        frames.append((_ids(objects, ours), _ids(results, theirs), distances))
    return count(frames)


def _numbers(frames: Iterable[list[Label]]) -> dict[str, int]:
    """A number for each id."""
    return {name: number for number, name in enumerate(sorted({label.identity for part in frames for label in part}))}


def _ids(labels: list[Label], numbers: dict[str, int]) -> Array:
    return np.array([numbers[label.identity] for label in labels], np.int64)


def _boxes(labels: list[Label]) -> Array:
    return np.array([label.box for label in labels], np.float64).reshape(-1, 4)


def _scores(counts: Counts) -> dict[str, Any]:
    ratios = {"MOTA": counts.mota, "IDF1": counts.idf1, "MOTP": counts.motp}
    return ratios | {name: getattr(counts, field) for name, field in COLUMNS.items()}


def _all(classes: dict[str, dict[str, Any]], total: Counts) -> dict[str, Any]:
    """Ratios as the mean over the classes, None where one has none; counts summed; both ratios from these too."""
    values = {name: [part[name] for part in classes.values()] for name in RATIOS}
    means = {name: None if None in each else sum(each) / len(each) for name, each in values.items()}
    return _scores(total) | means | {"MOTA_from_counts": total.mota, "IDF1_from_counts": total.idf1}


def _table(scores: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Per cent and counts of each class and of all."""
    columns = ("FP", "FN", "IDSw", "MT", "PT", "ML", "FM", "objects")
    rows = [["class", *RATIOS, *columns]]
    for name, part in scores.items():
        ratios = ["-" if part[key] is None else f"{100 * part[key]:.2f}" for key in RATIOS]
        rows.append([name, *ratios, *(str(part[key]) for key in columns)])
    return [*rows[:-1], [], rows[-1]]
