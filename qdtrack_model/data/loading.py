"""Labelled images of MOTChallenge folders, scaled to a network's input and kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from qdtrack_model.config import ModelConfig
from qdtrack_model.data.readers.mot import MOT_CLASSES, MotBoxes, MotError, class_columns, read_mot
from qdtrack_model.data.samples import IGNORED, LabelledImage
from qdtrack_model.data.sources import open_source
from qdtrack_model.structures import Array


def find_sequences(paths: list[Path]) -> list[Path]:
    """The folders with ``gt/gt.txt`` among ``paths`` and right below them."""
    found = []
    for path in paths:
        below = (
            [path] if (path / "gt" / "gt.txt").is_file() else sorted(p.parent.parent for p in path.glob("*/gt/gt.txt"))
        )
        if not below:
            raise ValueError(f"{path}: no gt/gt.txt in it or in the folders below it")
        found += below
    return found


def _labels(truth: MotBoxes, columns: Array) -> Array:
    """Class indices of ground truth: IGNORED for what is not scored or in none of the class ``columns``.

    Where no classes are named, as in the 2015 challenge, all are people, or of the network's only class.
    """
    classes = truth.classes
    if (classes < 0).all():
        classes = np.full(len(truth), columns[0] if len(columns) == 1 else MOT_CLASSES["pedestrian"])
    labels = np.full(len(truth), IGNORED)
    for label, column in enumerate(columns):
        labels[classes == column] = label
    labels[truth.confidences == 0] = IGNORED
    return labels


def load_sequence(folder: str | Path, model: ModelConfig, frames: tuple[int, int] | None = None) -> list[LabelledImage]:
    """The frames of a MOTChallenge folder, scaled to fit a network's input, in memory.

    Args:
        folder: with ``gt/gt.txt`` and images.
        model: the network's classes and input size.
        frames: first and last frame number to use; all frames that have ground truth when None.

    Raises:
        SourceError, MotError: images or ``gt/gt.txt`` are missing or broken, or nothing is labelled.
    """
    folder = Path(folder)
    truth = read_mot(folder / "gt" / "gt.txt")
    if not len(truth):
        raise MotError(f"{folder / 'gt' / 'gt.txt'}: expected at least one box")
    first, last = frames or (1, int(truth.frames.max()))
    columns = class_columns(model)
    labels = _labels(truth, columns)
    loaded = []
    with open_source(folder) as source:
        for frame in source:
            if frame.index > last:
                break
            if frame.index < first:
                continue
            height, width = frame.image.shape[:2]
            scale = min(model.input_size[0] / height, model.input_size[1] / width)
            size = (round(width * scale), round(height * scale))
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            rows = truth.frames == frame.index
            loaded.append(LabelledImage(image, truth.boxes[rows] * scale, truth.ids[rows], labels[rows]))
    if not any((frame.labels >= 0).any() for frame in loaded):
        names = ", ".join(f"{name} ({column})" for name, column in zip(model.classes, columns, strict=True))
        raise MotError(f"{folder}: no object of class {names} in frames {first}-{last}")
    return loaded


def load_sequences(
    folders: Sequence[Path], model: ModelConfig, frames: tuple[int, int] | None = None
) -> list[list[LabelledImage]]:
    """:func:`load_sequence` for several folders, with a progress bar."""
    with tqdm(folders, desc="reading", unit="sequence") as bar:  # closed before an error is printed
        return [load_sequence(folder, model, frames) for folder in bar]
