"""Trackers: detections of one moment in, tracks with lasting ids out. NumPy only."""

from qdtrack_model.config import QuasiDenseConfig, TaoConfig
from qdtrack_model.tracking.quasi_dense import QuasiDenseTracker
from qdtrack_model.tracking.tao import TaoTracker

__all__ = ["QuasiDenseConfig", "QuasiDenseTracker", "TaoConfig", "TaoTracker"]
