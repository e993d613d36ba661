"""Weights: our own files, public checkpoints of other projects, and the presets that describe their networks."""

from qdtrack_model.checkpoints.files import SHIPPED, Checkpoint, Graph, describe, load, resolve, save
from qdtrack_model.checkpoints.public import convert, load_public
from qdtrack_model.checkpoints.tensors import CheckpointError

__all__ = [
    "SHIPPED", "Checkpoint", "CheckpointError", "Graph", "convert", "describe", "load", "load_public", "resolve",
    "save",
]  # fmt: skip
