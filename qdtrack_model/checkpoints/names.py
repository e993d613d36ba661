"""Weights by name: shipped with this package, or published by somebody else and fetched on first use."""

from __future__ import annotations

from pathlib import Path

from qdtrack_model.checkpoints.catalogue import PUBLIC
from qdtrack_model.checkpoints.fetching import fetch
from qdtrack_model.checkpoints.files import Checkpoint, read
from qdtrack_model.checkpoints.tensors import CheckpointError

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"
SHIPPED = {path.stem: path for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))}


def resolve(name_or_path: str | Path) -> Path:
    """The file of weights by name (``street``, ``qdtrack-mot17``; ``qdtrack weights`` lists them) or by path.

    Public weights are fetched into the cache where they are not there yet, which takes minutes and is logged.

    Raises:
        CheckpointError: there is no such file; FetchError, a kind of it: public weights could not be fetched.
        CacheError: public weights cannot be kept.
    """
    name = str(name_or_path)
    if name in SHIPPED:
        return SHIPPED[name]
    if name in PUBLIC:
        return fetch(name, PUBLIC[name])
    path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join((*SHIPPED, *PUBLIC))
        raise CheckpointError(f"weights {name!r}: neither a file nor a name that `qdtrack weights` lists ({known})")
    return path


def load(name_or_path: str | Path) -> Checkpoint:
    """Read the description of weights or of an exported graph; tensors are read by :meth:`Checkpoint.network`.

    Raises:
        CheckpointError: no such file, not readable, not of this project, or of an unknown architecture; FetchError, a
            kind of it: public weights could not be fetched.
        CacheError: public weights cannot be kept.
    """
    return read(resolve(name_or_path))
