"""Synthetic street scenes with exact ground truth."""

from __future__ import annotations

from qdtrack_model.synthetic.config import CLASSES, MINIMUM_HEIGHT, MINIMUM_VISIBILITY, SceneConfig
from qdtrack_model.synthetic.scene import Scene, SceneFrame, Truth

__all__ = ["CLASSES", "MINIMUM_HEIGHT", "MINIMUM_VISIBILITY", "Scene", "SceneConfig", "SceneFrame", "Truth"]
