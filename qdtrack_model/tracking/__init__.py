"""Trackers: detections of one moment in, tracks with lasting ids out. NumPy only."""

from qdtrack_model.config import QuasiDenseConfig, TaoConfig, TrackerConfig
from qdtrack_model.tracking.quasi_dense import QuasiDenseTracker
from qdtrack_model.tracking.tao import TaoTracker

__all__ = ["QuasiDenseConfig", "QuasiDenseTracker", "TaoConfig", "TaoTracker", "Tracker", "build"]

Tracker = QuasiDenseTracker | TaoTracker


def build(config: TrackerConfig) -> Tracker:
    """The tracker that ``config`` describes, with nothing in its memory."""
    return TaoTracker(config) if isinstance(config, TaoConfig) else QuasiDenseTracker(config)
