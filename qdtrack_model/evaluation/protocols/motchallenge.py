"""The protocols of MOTChallenge 2015, 2017 and 2020 (https://motchallenge.net), in 2D boxes.

What is scored, how, and what is an error is that of TrackEval's ``MotChallenge2DBox``. An error names the file and the
line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.readers.mot import MotBoxes, read_rows, read_seqinfo
from qdtrack_model.evaluation.folders import find_ground_truth, find_result
from qdtrack_model.evaluation.frames import EvaluationError, ScoredFrame, numbered, results_on, rows_by_frame
from qdtrack_model.evaluation.hota import Hota, combine, hota
from qdtrack_model.evaluation.protocols import Report
from qdtrack_model.evaluation.protocols.official_counts import Clear, Identity, clear, identity
from qdtrack_model.structures import Array

PEDESTRIAN = 1
CLASSES = range(1, 14)  # 2 person on vehicle, 6 non-MOT vehicle, 7 static person, 8 distractor, 12 reflection ...
DISTRACTORS: dict[str, tuple[int, ...] | None] = {  # classes of ground truth whose results are removed
    "mot15": None,  # has no classes: their column may hold world coordinates
    "mot17": (2, 7, 8, 12),
    "mot20": (2, 6, 7, 8, 12),
}
SINGLE = ("HOTA", "DetA", "AssA")  # given at each threshold too
COMBINED = "COMBINED_SEQ"

PERCENT = {
    "MOTA": ("CLEAR", "MOTA"), "IDF1": ("Identity", "IDF1"), "HOTA": ("HOTA", "HOTA"), "DetA": ("HOTA", "DetA"),
    "AssA": ("HOTA", "AssA"), "MOTP": ("CLEAR", "MOTP"),
}  # fmt: skip
COUNTS = {
    "IDSW": ("CLEAR", "IDSW"), "FP": ("CLEAR", "CLR_FP"), "FN": ("CLEAR", "CLR_FN"), "MT": ("CLEAR", "MT"),
    "PT": ("CLEAR", "PT"), "ML": ("CLEAR", "ML"), "Frag": ("CLEAR", "Frag"), "objects": ("Count", "GT_Dets"),
}  # fmt: skip


def evaluate(
    protocol: str, ground_truth: str | Path, results: str | Path, frames: tuple[int, int] | None = None
) -> Report:
    """The official scores of every sequence, and of all together under ``COMBINED_SEQ``.

    Args:
        protocol: ``mot15``, ``mot17`` or ``mot20``.
        ground_truth: a sequence folder (``gt/gt.txt`` and ``seqinfo.ini`` in it) or a folder of such sequences.
        results: a folder with ``SEQUENCE.txt`` or ``SEQUENCE/result.txt``, or one file where there is one sequence.
        frames: first and last of the frames to score; all others are left out of both.

    Raises:
        EvaluationError, MotError: a file is missing or broken, or holds what the protocol does not allow.
    """
    parts: dict[str, Parts] = {}
    warnings = []
    sequences = find_ground_truth(ground_truth)
    _check_complete(Path(ground_truth))
    for name, truth_path in sequences.items():
        result_path = find_result(results, name, only=len(sequences) == 1)
        scored = list(scored_frames(protocol, truth_path, result_path, frames))
        parts[name] = Parts(hota(scored), clear(scored), identity(scored), _count(scored), len(scored))
        if not parts[name].count["GT_Dets"]:
            warnings.append(f"{truth_path}: no pedestrian is scored: every result counts as wrong")
        if not parts[name].count["Dets"]:
            warnings.append(f"{result_path}: no results to score: every object counts as missed")
    scores = {name: part.to_mapping() for name, part in [*parts.items(), (COMBINED, _together(list(parts.values())))]}
    return Report(scores, _table(scores), warnings)


@dataclass(frozen=True)
class Parts:
    """The scores of a sequence; ``frames`` is None for several together."""

    hota: Hota
    clear: Clear
    identity: Identity
    count: Counter[str]
    frames: int | None = None

    def to_mapping(self) -> dict[str, dict[str, Any]]:
        """By their official names, ready for JSON; HOTA's as the mean over its thresholds."""
        by_name, counts = (
            self.hota.by_name,
            {"TP": self.hota.matches, "FN": self.hota.misses, "FP": self.hota.false_positives},
        )
        first = {"HOTA(0)": by_name["HOTA"][0], "LocA(0)": by_name["LocA"][0]}
        return {
            "HOTA": {
                **{f"HOTA_{name}": values.astype(int).tolist() for name, values in counts.items()},
                **{name: float(values.mean()) for name, values in by_name.items()},
                **{f"{name}_by_threshold": by_name[name].tolist() for name in SINGLE},
                **{name: float(value) for name, value in first.items()},
                "HOTALocA(0)": float(first["HOTA(0)"] * first["LocA(0)"]),
            },
            "CLEAR": self.clear.to_mapping(),
            "Identity": self.identity.to_mapping(),
            "Count": {**self.count, **({} if self.frames is None else {"Frames": self.frames})},
        }


def _count(frames: Sequence[ScoredFrame]) -> Counter[str]:
    parts, objects, tracks = numbered(frames)
    boxes, found = (sum(len(part[side]) for part in parts) for side in (0, 1))
    return Counter({"Dets": found, "GT_Dets": boxes, "IDs": tracks, "GT_IDs": objects})


def _together(parts: Sequence[Parts]) -> Parts:
    count = {name: sum(part.count[name] for part in parts) for name in parts[0].count}
    return Parts(
        combine([part.hota for part in parts]),
        sum((part.clear for part in parts), Clear()),
        sum((part.identity for part in parts), Identity()),
        Counter(count),
    )


def scored_frames(
    protocol: str, truth_path: Path, result_path: Path, frames: tuple[int, int] | None = None
) -> Iterator[ScoredFrame]:
    """Each frame of a sequence, with the ground truth that is scored and the results that count.

    Raises:
        EvaluationError, MotError: as :func:`evaluate`.
    """
    length = read_seqinfo(truth_path.parent.parent).length
    distractors = DISTRACTORS[protocol]
    truth = _read_truth(truth_path, length, classes=distractors is not None)
    results = _read_results(result_path, length)
    first, last = frames or (1, length)
    if first > length:
        raise EvaluationError(f"{truth_path}: no frames {first}-{last}: the sequence has {length}")
    truth_rows, result_rows = rows_by_frame(truth), rows_by_frame(results)
    nothing = np.zeros(0, np.int64)
    for frame in range(first, min(last, length) + 1):
        objects = truth[truth_rows.get(frame, nothing)]
        found = results[result_rows.get(frame, nothing)]
        similarity = box_iou(objects.boxes, found.boxes)
        scored, kept = _is_scored(objects, classes=distractors is not None), np.ones(len(found), bool)
        if distractors is not None:
            kept = ~results_on(np.isin(objects.classes, distractors), similarity)
        yield ScoredFrame(objects.ids[scored], found.ids[kept], similarity[np.ix_(scored, kept)])


def _is_scored(truth: MotBoxes, classes: bool) -> Array:
    """Which boxes (N,) of ground truth are scored: whole part of the confidence not 0, and a pedestrian."""
    scored = truth.confidences.astype(np.int64) != 0
    return scored & (truth.classes == PEDESTRIAN) if classes else scored


def _read_truth(path: Path, length: int, classes: bool) -> MotBoxes:
    """Ground truth, the column of classes as it stands; raises where TrackEval does, and for scored ids below 0."""
    rows, lines = _read(path, length)
    for line, values in zip(lines, rows, strict=True):
        if len(values) < 8:
            raise EvaluationError(f"{path}, line {line}: got {len(values)} columns, ground truth has 8 (class) or more")
        if classes and int(values[7]) not in CLASSES:
            raise EvaluationError(f"{path}, line {line}: class is {values[7]:g}, expected 1 to {CLASSES[-1]}")
    boxes = _boxes(rows)
    nameless = _is_scored(boxes, classes) & (boxes.ids < 0)
    if nameless.any():
        row = int(np.argmax(nameless))
        raise EvaluationError(f"{path}, line {lines[row]}: id is {boxes.ids[row]}, expected 0 or more: it is scored")
    return boxes


def _read_results(path: Path, length: int) -> MotBoxes:
    """Results; raises where TrackEval does, and for ids below 0, which it confuses with others."""
    rows, lines = _read(path, length)
    for line, values in zip(lines, rows, strict=True):
        if values[1] < 0:
            raise EvaluationError(f"{path}, line {line}: id is {values[1]:g}, expected 0 or more")
        if len(values) > 7 and int(values[7]) > PEDESTRIAN:
            raise EvaluationError(
                f"{path}, line {line}: class is {values[7]:g}, expected {PEDESTRIAN} or -1: pedestrians alone are "
                "scored, leave others out of the results"
            )
    return _boxes(rows)


def _read(path: Path, length: int) -> tuple[list[list[float]], list[int]]:
    """The rows of a file, 7 to 10 values each, and their lines; an id twice in a frame and frames too many raise."""
    rows, lines = [], []
    for line, values in read_rows(path, unique=True):
        if values[0] > length:
            raise EvaluationError(
                f"{path}, line {line}: frame is {values[0]:g}, but seqinfo.ini says seqLength={length}"
            )
        rows.append(values)
        lines.append(line)
    return rows, lines


def _boxes(rows: list[list[float]]) -> MotBoxes:
    """The rows with column 8 as the class, whatever follows; -1 where there is none."""
    table = np.array([[*row[:7], row[7] if len(row) > 7 else -1.0] for row in rows], np.float64).reshape(-1, 8)
    corners = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    return MotBoxes(table[:, 0], table[:, 1], corners, table[:, 6], table[:, 7], np.full(len(table), -1.0))


def _check_complete(folder: Path) -> None:
    """Raise EvaluationError for a sequence in ``folder`` without ground truth: the total would be of fewer."""
    for path in sorted(folder.glob("*/seqinfo.ini")):
        if not (path.parent / "gt" / "gt.txt").is_file():
            raise EvaluationError(f"{path.parent}: a sequence (seqinfo.ini) without gt/gt.txt")


def _table(scores: dict[str, dict[str, Any]]) -> list[list[str]]:
    """The main scores in per cent and the counts, one row for each sequence; the total where there are several."""
    rows = [["sequence", *PERCENT, *COUNTS]]
    for name, part in scores.items():
        percent = [f"{100 * part[kind][key]:.2f}" for kind, key in PERCENT.values()]
        rows.append([name, *percent, *(str(part[kind][key]) for kind, key in COUNTS.values())])
    return [*rows[:-1], [], rows[-1]] if len(scores) > 2 else rows[:-1]
