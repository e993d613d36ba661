"""Boxes that somebody else found, with the embeddings that a network gives them: what a tracker follows then.

So MOTChallenge compares trackers on public detections (``det/det.txt``), and so any detector can be used.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np

from qdtrack_model.boxes import box_area, clip_boxes
from qdtrack_model.data.readers.mot import MOT_CLASSES, MotError, class_columns, read_mot
from qdtrack_model.data.sources import Frame
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.runtimes.torch import TorchRuntime
from qdtrack_model.structures import Detections


class GivenDetections:
    """The detections in a file of MOTChallenge columns, frame by frame.

    Boxes and scores are those of the file. Where it has no column of classes all are people, or of the network's only
    class; boxes of other classes than the network's, and those wholly outside the image, are left out.

    Args:
        path: of the file.
        runtime: of the network; torch itself, since other runtimes find boxes of their own.

    Attributes:
        timings: seconds that the last frame took, by stage.

    Raises:
        MotError: the file is broken, or has no box of the network's classes.
    """

    def __init__(self, path: Path, runtime: TorchRuntime) -> None:
        self._boxes, self._runtime, self._preprocess = read_mot(path), runtime, Preprocessor(runtime.config)
        columns = class_columns(runtime.config)
        if (self._boxes.classes < 0).all():
            named = np.flatnonzero(columns == MOT_CLASSES["pedestrian"])
            self._labels = np.full(len(self._boxes), 0 if len(columns) == 1 else named[0] if len(named) else -1)
        else:
            self._labels = np.where(self._boxes.classes[:, None] == columns, np.arange(len(columns)), -1).max(axis=1)
        if not (self._labels >= 0).any():
            names = ", ".join(f"{n} ({c})" for n, c in zip(runtime.config.classes, columns, strict=True))
            raise MotError(f"{path}: no box of class {names}")
        self.timings: dict[str, float] = {}

    def __call__(self, frame: Frame) -> Detections:
        """The detections of a frame, in pixels of its image."""
        started = perf_counter()
        rows = np.flatnonzero((self._boxes.frames == frame.index) & (self._labels >= 0))
        size = (frame.image.shape[1], frame.image.shape[0])
        rows = rows[box_area(clip_boxes(self._boxes.boxes[rows], size)) > 0]
        boxes = self._boxes.boxes[rows].astype(np.float32)
        batch, [letterbox] = self._preprocess([frame.image])
        prepared = perf_counter()
        scale = np.array([*letterbox.scale, *letterbox.scale], np.float32)
        embeddings = self._runtime.embed(batch, (boxes * scale)[None])[0]
        self.timings = {"preprocess": prepared - started, "network": perf_counter() - prepared}
        return Detections(boxes, self._boxes.confidences[rows], self._labels[rows], embeddings)
