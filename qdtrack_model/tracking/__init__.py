"""Trackers: detections of one moment in, tracks with lasting ids out. NumPy only, but for SciPy's assignment."""

from qdtrack_model.config import FairMotConfig, QuasiDenseConfig, TaoConfig, TrackerConfig
from qdtrack_model.tracking.fairmot import FairMotTracker
from qdtrack_model.tracking.quasi_dense import QuasiDenseTracker
from qdtrack_model.tracking.tao import TaoTracker

__all__ = [
    "FairMotConfig", "FairMotTracker", "QuasiDenseConfig", "QuasiDenseTracker", "TaoConfig", "TaoTracker", "Tracker",
    "build",
]  # fmt: skip

Tracker = QuasiDenseTracker | TaoTracker | FairMotTracker


def build(config: TrackerConfig) -> Tracker:
    """The tracker that ``config`` describes, with nothing in its memory."""
    if isinstance(config, FairMotConfig):
        return FairMotTracker(config)
    return TaoTracker(config) if isinstance(config, TaoConfig) else QuasiDenseTracker(config)
