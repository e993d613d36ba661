"""What all tests share: a machine on which several processes of them run at once."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Every worker has a core: the threads of several would wait for each other. Torch reads it when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """What is imported and collected stays: to search it for garbage again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run share: what one makes there under a lock, the others need not make."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(autouse=True)
def cache(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of graphs and engines, one for all tests of this run so that each is made once; not the user's."""
    folder = shared_folder / "cache"
    monkeypatch.setenv("QDTRACK_CACHE", str(folder))
    return folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that nobody else writes to, empty at first, for tests that look at all that is in it."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("QDTRACK_CACHE", str(folder))
    return folder
