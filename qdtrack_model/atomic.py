"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a path to write a file or folder at, which becomes ``path`` when the block ends without an error.

    The path given has the same name and lies in a new folder beside ``path``, so that two writers never meet and the
    last step is one rename. After an error nothing is left of it, and an older file of that name stays as it was.

    Args:
        path: the file, or a folder that is not there yet or empty; the folder it lies in is made where missing.

    Raises:
        OSError: the place cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        partial = Path(folder) / path.name
        yield partial
        os.replace(partial, path)
