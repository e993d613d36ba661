"""``tools/detected.py``: what a detector's boxes would teach, counted where the truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tools import detected

RECIPE = "model: {classes: [pedestrian], input_size: [64, 96]}\ndata: {categories: {pedestrian: [person]}}\n"
LABELLED: list[dict[str, Any]] = [  # of one image, from left to right
    {"bbox": [0, 10, 10, 20]},
    {"bbox": [20, 10, 10, 20]},
    {"bbox": [40, 10, 10, 20]},
    {"bbox": [60, 10, 20, 20], "iscrowd": 1},
]
SEEN = [
    ([1, 10, 10, 20], 0.9),  # learned, and right
    ([20, 8, 10, 20], 0.4),  # left alone; the third person is not seen at all
    ([80, 40, 10, 10], 0.8),  # nothing there
    ([62, 12, 8, 16], 0.9),  # in a crowd: neither right nor wrong
]


def test_what_is_filled_left_alone_and_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((64, 96, 3), np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 96, "height": 64}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 1, **box} for i, box in enumerate(LABELLED)],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    rows = [{"image_id": 1, "category": "person", "bbox": box, "score": score} for box, score in SEEN]
    (tmp_path / "detected.json").write_text(json.dumps(rows))
    monkeypatch.setattr("sys.argv", ["detected", str(tmp_path / "recipe.yaml"), str(tmp_path)])
    detected.main()
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[-7:] == ["pedestrian", "2", "50%", "3", "33%", "33%", "33%"]
