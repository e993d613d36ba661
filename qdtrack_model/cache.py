"""What is made once and kept: exported graphs, compiled engines, public weights.

Beside every file lies a manifest, ``<file>.json``, that says what it was built from and the hash of its content. A
file is used only where both are as they should be: what is stale, cut off or damaged is built again.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from qdtrack_model.atomic import atomic_write

log = logging.getLogger(__name__)

Identity = Mapping[str, str | int | list[int] | None]


class CacheError(RuntimeError):
    """A file that cannot be kept; the text says where and what to do."""


def cache_folder() -> Path:
    """Where files are kept: ``$QDTRACK_CACHE``, or ``qdtrack`` below the user's cache folder."""
    if os.environ.get("QDTRACK_CACHE"):
        return Path(os.environ["QDTRACK_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qdtrack"


def path_of(stem: str, suffix: str, identity: Identity) -> Path:
    """Where :func:`keep` has the file of this stem, suffix and identity, whether it is there yet or not."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / f"{stem}-{key}{suffix}"


def manifest_path(path: Path) -> Path:
    """The manifest of a kept file."""
    return path.with_name(path.name + ".json")


def read_manifest(path: Path) -> dict[str, Any] | None:
    """What is known of the kept file ``path``: ``identity``, ``sha256``, ``bytes``, ``seconds``; None without one."""
    try:
        manifest = json.loads(manifest_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def fault(path: Path, identity: Identity) -> str | None:
    """Why the kept file ``path`` must not be used, or None where it may."""
    manifest = read_manifest(path)
    if not path.is_file() or manifest is None:
        return "it or its manifest is missing or unreadable"
    if manifest.get("identity") != identity:
        built: Any = manifest.get("identity")
        built = built if isinstance(built, dict) else {}
        other = [name for name in identity if built.get(name) != identity[name]]
        told = ", ".join(f"{name} {built.get(name)!r} instead of {identity[name]!r}" for name in other)
        return f"it was built for something else: {told or 'more than is asked for'}"
    if manifest.get("bytes") != path.stat().st_size:
        return f"it has {path.stat().st_size} bytes, expected {manifest.get('bytes')}: cut off?"
    if manifest.get("sha256") != sha256(path):
        return "its content is not what was written: damaged"
    return None


def kept(stem: str, suffix: str, identity: Identity) -> Path | None:
    """The file that :func:`keep` made of ``identity``, or somebody copied here; None where there is none to be used."""
    path = path_of(stem, suffix, identity)
    return path if fault(path, identity) is None else None


def keep(stem: str, suffix: str, identity: Identity, build: Callable[[Path], None], anew: bool = False) -> Path:
    """The file built from ``identity``, built where it is not there yet.

    Two processes that start at once build once. The file appears whole or not at all.

    Args:
        stem: beginning of the file's name, for people.
        suffix: its ending, such as ``.onnx``.
        identity: everything that the content depends on, as JSON has it.
        build: writes the file to a path; what it raises is passed on.
        anew: build it also where it is there.

    Raises:
        CacheError: the folder cannot be written, or is full.
    """
    path = path_of(stem, suffix, identity)
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not anew and not os.access(folder, os.W_OK) and fault(path, identity) is None:
            return path  # made ahead of time, in a place that is read-only now
        with (folder / f"{path.name}.lock").open("w") as lock:
            _lock(lock, path)
            problem = fault(path, identity)
            if anew or problem is not None:
                if path.exists() and problem is not None:
                    log.warning("%s is built again: %s", path, problem)
                _build(path, identity, build)
    except OSError as error:
        raise CacheError(
            f"{folder}: cannot keep {path.name} ({error}); free some space, or set QDTRACK_CACHE to a folder that "
            "can be written"
        ) from None
    return path


def _lock(lock: IO[str], path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("waiting for another process, which is making %s", path.name)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _build(path: Path, identity: Identity, build: Callable[[Path], None]) -> None:
    begin = time.monotonic()
    for final in (path, manifest_path(path)):
        for left in path.parent.glob(f"{glob.escape(f'.{final.name}-')}*"):
            shutil.rmtree(left, ignore_errors=True)  # of a process that was killed: whoever holds the lock is alone
    # The file gets its name first: after a crash in between its manifest does not fit, and it is built again.
    with atomic_write(manifest_path(path)) as manifest, atomic_write(path) as partial:
        build(partial)
        seconds = round(time.monotonic() - begin, 1)
        content = {
            "identity": identity, "sha256": sha256(partial), "bytes": partial.stat().st_size, "seconds": seconds,
            "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }  # fmt: skip
        manifest.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
