"""Sequences with ground truth in a folder, and the results that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qdtrack_model.data.readers.mot import MotBoxes, read_mot
from qdtrack_model.evaluation.frames import EvaluationError
from qdtrack_model.evaluation.scores import Scores, combine, evaluate

COMBINED = "COMBINED"
RESULT_NAMES = ("result.txt", "results.txt", "tracks.txt")


def find_ground_truth(folder: str | Path) -> dict[str, Path]:
    """The ``gt.txt`` of each sequence by name: ``FOLDER/gt/gt.txt`` itself, or ``FOLDER/<sequence>/gt/gt.txt``.

    Raises:
        EvaluationError: there is none.
    """
    folder = Path(folder)
    if (folder / "gt" / "gt.txt").is_file():
        return {folder.resolve().name: folder / "gt" / "gt.txt"}
    found = {path.parent.parent.name: path for path in sorted(folder.glob("*/gt/gt.txt"))}
    if not found:
        reason = "expected gt/gt.txt or <sequence>/gt/gt.txt in it" if folder.is_dir() else "no such folder"
        raise EvaluationError(f"{folder}: no ground truth: {reason}")
    return found


def find_result(results: str | Path, sequence: str, only: bool) -> Path:
    """The results of ``sequence``: a file, ``RESULTS/<sequence>.txt``, or ``RESULTS/<sequence>/result.txt``.

    Args:
        results: a folder, or one file where there is one sequence.
        sequence: its name.
        only: there is no other sequence, so that a file, or ``RESULTS/result.txt``, needs no name.

    Raises:
        EvaluationError: nothing there, or one file for several sequences.
    """
    results = Path(results)
    if results.is_file():
        if not only:
            raise EvaluationError(f"{results}: one file for several sequences; expected a folder with {sequence}.txt")
        return results
    if not results.is_dir():
        raise EvaluationError(f"{results}: no such file or folder")
    candidates = [results / f"{sequence}.txt", *(results / sequence / name for name in RESULT_NAMES)]
    if only:
        candidates += [results / name for name in RESULT_NAMES]
    for path in candidates:
        if path.is_file():
            return path
    names = " or ".join(str(path.relative_to(results)) for path in candidates[:2])
    raise EvaluationError(f"{results}: no results for sequence {sequence}: expected {names}")


def _read_truth(path: Path, frames: tuple[int, int] | None) -> MotBoxes:
    truth = read_mot(path)
    if len(truth) == 0:
        raise EvaluationError(f"{path}: holds no boxes")
    if frames:
        part = truth.between(*frames)
        if len(part) == 0:
            raise EvaluationError(
                f"{path}: no ground truth in frames {frames[0]}-{frames[1]}; "
                f"it covers {truth.frames.min()}-{truth.frames.max()}"
            )
        truth = part
    return truth


def read_folders(
    ground_truth: str | Path, results: str | Path, frames: tuple[int, int] | None = None
) -> dict[str, tuple[MotBoxes, MotBoxes, Path]]:
    """Ground truth, results and the file of the results for each sequence, limited to ``frames`` (first, last).

    Raises:
        EvaluationError, MotError: a file is missing, empty (ground truth) or broken.
    """
    sequences = find_ground_truth(ground_truth)
    found = {}
    for name, truth_path in sequences.items():
        result_path = find_result(results, name, only=len(sequences) == 1)
        boxes = read_mot(result_path)
        found[name] = (_read_truth(truth_path, frames), boxes.between(*frames) if frames else boxes, result_path)
    return found


def evaluate_folders(
    ground_truth: str | Path, results: str | Path, frames: tuple[int, int] | None = None
) -> dict[str, Scores]:
    """The scores of every sequence, and of all together under ``COMBINED``.

    Raises:
        EvaluationError, MotError: a file is missing, empty (ground truth) or broken.
    """
    return score_sequences(read_folders(ground_truth, results, frames))


def score_sequences(sequences: Mapping[str, tuple[MotBoxes, MotBoxes, Path]]) -> dict[str, Scores]:
    """The scores of what :func:`read_folders` gave, and of all together under ``COMBINED``.

    Raises:
        EvaluationError: nothing of a sequence's ground truth is scored.
    """
    scores = {}
    for name, (truth, boxes, path) in sequences.items():
        try:
            scores[name] = evaluate(truth, boxes)
        except EvaluationError as error:
            raise EvaluationError(f"{path}: {error}") from None
    return {**scores, COMBINED: combine(list(scores.values()))}
