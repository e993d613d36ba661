"""Detections of a whole scene in a file: what a tracker is tried on without running the network again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.structures import Detections


@dataclass(frozen=True, eq=False)
class SceneDetections:
    """Number, time and detections of each frame, in order; frames without a detection are among them."""

    frames: list[int]
    times: list[float]
    detections: list[Detections]

    def save(self, path: Path) -> None:
        """Write the scene to a file ``.npz``; it appears whole or not at all."""
        columns: dict[str, Any] = {
            "frames": self.frames,
            "times": self.times,
            "counts": list(map(len, self.detections)),
        }
        for field in fields(Detections):
            columns[field.name] = np.concatenate([getattr(found, field.name) for found in self.detections])
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, **columns)

    @classmethod
    def load(cls, path: Path) -> SceneDetections:
        """Read what :meth:`save` wrote."""
        with np.load(path) as stored:
            ends = np.cumsum(stored["counts"])[:-1]
            columns = [np.split(stored[field.name], ends) for field in fields(Detections)]
            frames, times = stored["frames"].tolist(), stored["times"].tolist()
        return cls(frames, times, [Detections(*rows) for rows in zip(*columns, strict=True)])
