"""A network as one static ONNX graph, from uint8 image to boxes, scores, labels and embeddings."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from qdtrack_model.checkpoints import Checkpoint

OUTPUTS = ("boxes", "scores", "labels", "embeddings")
GRAPH_VERSION = 2  # raise when networks compute differently from the same weights


class CacheError(RuntimeError):
    """An exported graph that cannot be kept, or is damaged where it was kept; the text says where."""


def cache_folder() -> Path:
    """Where exported graphs are kept: ``$QDTRACK_CACHE``, or ``qdtrack`` below the user's cache folder."""
    if os.environ.get("QDTRACK_CACHE"):
        return Path(os.environ["QDTRACK_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qdtrack"


def export_onnx(checkpoint: Checkpoint, path: Path, batch: int = 1) -> None:
    """Write the graph of ``checkpoint`` for images (batch, H, W, 3); the file appears whole or not at all."""
    import torch

    height, width = checkpoint.config.input_size
    images = torch.zeros((batch, height, width, 3), dtype=torch.uint8)
    # In the destination's folder, so that the final rename cannot cross file systems.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        partial = Path(folder) / "model.onnx"
        with _quiet():
            torch.onnx.export(
                checkpoint.network(),
                (images,),
                partial,
                dynamo=True,
                external_data=False,
                input_names=["images"],
                output_names=list(OUTPUTS),
                verbose=False,
            )
        os.replace(partial, path)


def cached_onnx(checkpoint: Checkpoint) -> Path:
    """The exported graph of ``checkpoint``, made on first use; the name holds the hash of the weights.

    Two processes that start at once export once.

    Raises:
        CacheError: the cache folder cannot be written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _exported(checkpoint, folder)
    except OSError as error:
        raise CacheError(
            f"{folder}: cannot keep the exported network ({error}); set QDTRACK_CACHE to a folder that can be written"
        ) from None


def _exported(checkpoint: Checkpoint, folder: Path) -> Path:
    path = folder / f"{checkpoint.path.stem}-{checkpoint.digest[:16]}-v{GRAPH_VERSION}.onnx"
    with (folder / f"{path.stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            export_onnx(checkpoint, path)
    return path


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about optional packages and its progress prints."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
