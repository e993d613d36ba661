"""What the demonstration plays: a bag made from a synthetic scene or from a video, and its ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qdtrack_model.data.mot import MotBoxes


@dataclass(frozen=True, eq=False)
class Material:
    """A bag of compressed images on ``topic``.

    Args:
        frame_of: header stamp [ns] -> frame number (from 1), in the order of the bag.
        ground_truth: of some or all frames; None where there is none.
    """

    title: str
    bag: Path
    topic: str
    frame_rate: float
    frame_of: Mapping[int, int]
    ground_truth: MotBoxes | None
