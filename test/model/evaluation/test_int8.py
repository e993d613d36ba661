"""The proof of an int8 graph: what it loses, and when that is too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdtrack_model.data.readers.mot import read_mot
from qdtrack_model.evaluation import evaluate
from qdtrack_model.evaluation.int8 import AccuracyError, Report


def test_the_tolerance_counts_what_is_lost_against_fp32(blob_folder: Path) -> None:
    truth = read_mot(blob_folder / "gt" / "gt.txt")
    half, most = evaluate(truth, truth[: len(truth) // 2]), evaluate(truth, truth[1:])
    report = Report("gt.txt", (1, 20), most, half)
    assert report.losses()["MOTA"] == pytest.approx(100 * 29 / 60)
    with pytest.raises(AccuracyError, match=r"more than 2 points against gt\.txt \(MOTA 48\.33, IDF1 "):
        report.check(None)
    Report("gt.txt", (1, 20), most, most).check(None)
    Report("the tracks of fp32", (1, 20), None, most).check(None)
    with pytest.raises(AccuracyError, match="more than 10 points"):
        Report("the tracks of fp32", (1, 20), None, half).check(None)
