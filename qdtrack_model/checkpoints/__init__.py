"""Weights: our own files, public checkpoints of other projects, and the presets that describe their networks."""

from qdtrack_model.checkpoints.catalogue import PUBLIC
from qdtrack_model.checkpoints.fetching import FetchError, cached
from qdtrack_model.checkpoints.files import Checkpoint, Graph, describe, save
from qdtrack_model.checkpoints.names import SHIPPED, load, resolve
from qdtrack_model.checkpoints.public import convert, load_public
from qdtrack_model.checkpoints.tensors import CheckpointError

__all__ = [
    "PUBLIC", "SHIPPED", "Checkpoint", "CheckpointError", "FetchError", "Graph", "cached", "convert", "describe",
    "load", "load_public", "resolve", "save",
]  # fmt: skip
