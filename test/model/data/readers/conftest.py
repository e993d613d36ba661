"""What the tests of all readers share: what a reader is asked for, and images to label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qdtrack_model.data.reading import Labelling, Reading

CLASSES = ("pedestrian", "vehicle")


@pytest.fixture
def asked() -> Callable[..., Reading]:
    """A function of (the names of each class, values of a Reading): what is asked of a reader, for two classes."""

    def ask(categories: dict[str, tuple[str, ...]] | None = None, **values: Any) -> Reading:
        labelling = Labelling(values.pop("classes", CLASSES), categories or {}, **values.pop("labelling", {}))
        return Reading(labelling, tuple(range(1, len(labelling.classes) + 1)), **values)

    return ask


@pytest.fixture
def picture() -> Callable[..., Path]:
    """A function of (path, width, height): an image file of one grey, with the folders that it needs."""

    def write(path: Path, width: int = 80, height: int = 60, grey: int = 90) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((height, width, 3), grey, np.uint8))
        return path

    return write
