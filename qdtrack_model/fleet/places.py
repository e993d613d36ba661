"""Files and folders that lie here or in an object store: paths, or URLs that fsspec knows (s3://, gs://, memory://)."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from qdtrack_model.atomic import atomic_write


class PlaceError(ValueError):
    """A place that cannot be read or written; the text names it."""


def is_remote(place: str | Path) -> bool:
    """Whether it is a URL."""
    return "://" in str(place)


def check_password(place: str) -> None:
    """Runs tell the places of their bags: no URL may hold a password.

    Raises:
        PlaceError: this one does; it is not told.
    """
    scheme, url, rest = place.rpartition("://")  # the last of a chain, as of simplecache::ftp://...
    before, at, host = rest.rpartition("@")
    authority, *path = re.split("[/?#]", before, maxsplit=1)
    _, colon, port = authority.rpartition(":")
    if url and at and colon and not (path and port.isdecimal()):  # in host:1234/a@b there is none
        told = f"{scheme}://...@{host}"
        raise PlaceError(f"{told}: holds a password, which runs would tell: give it in the environment")


def below(place: str | Path, name: str) -> str:
    """The place of this name in a folder."""
    return f"{str(place).rstrip('/')}/{name}"


def expanded(place: str) -> list[str]:
    """The places that a URL with ``*`` stands for, sorted; any other place is itself.

    Raises:
        PlaceError: there are none.
    """
    if not is_remote(place) or "*" not in place:
        return [place]
    found = _asked(place, lambda system, path: sorted(system.unstrip_protocol(name) for name in system.glob(path)))
    if not found:
        raise PlaceError(f"{place}: nothing there")
    return found


def read_text(place: str | Path) -> str:
    """The text of a file.

    Raises:
        OSError, PlaceError: it cannot be read; FileNotFoundError: it is not there.
    """
    if not is_remote(place):
        return Path(place).read_text(encoding="utf-8")
    return _asked(str(place), lambda system, path: system.cat_file(path).decode("utf-8"))


def write_text(place: str | Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError, PlaceError: it cannot be written.
    """
    if is_remote(place):
        _asked(str(place), lambda system, path: system.pipe_file(path, text.encode("utf-8")))
        return
    with atomic_write(place) as partial:
        partial.write_text(text, encoding="utf-8")


def remove(place: str | Path) -> None:
    """Remove a folder and all in it, where it is there.

    Raises:
        OSError, PlaceError: it cannot be removed.
    """
    if is_remote(place):
        _asked(str(place), lambda system, path: system.rm(path, recursive=True) if system.exists(path) else None)
    elif Path(place).exists():
        shutil.rmtree(place)


def stamp(place: str | Path, ending: str = "") -> list[list[str]]:
    """Tells a file or folder from what it was before: name, size and time or mark of each file.

    Empty where nothing is there, or a store does not tell such things.

    Args:
        place: path or URL.
        ending: of the names of a folder's files that count.

    Raises:
        OSError, PlaceError: it cannot be read.
    """
    if is_remote(place):
        return _asked(str(place), _marks)
    path = Path(place)
    files = sorted(file for file in (path.rglob(f"*{ending}") if path.is_dir() else [path]) if file.is_file())
    return [[str(file), str(file.stat().st_size), str(file.stat().st_mtime_ns)] for file in files]


def _marks(system: Any, path: str) -> list[list[str]]:
    """Of files in a store: each kind of store has another name for what changes with a file."""
    keys = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
    marks = []
    for name, told in sorted(system.find(path, detail=True).items()):
        mark = next((str(told[key]) for key in keys if told.get(key)), None)
        if mark is None:
            return []
        marks.append([name, str(told.get("size")), mark])
    return marks


@contextmanager
def local_copy(place: str | Path, without: Collection[str] = ()) -> Iterator[Path]:
    """Give the path of a file or folder: where it is, or of a copy that is gone afterwards.

    Args:
        place: path or URL.
        without: ends of names that are not copied.

    Raises:
        PlaceError: it cannot be read.
    """
    if not is_remote(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="qdtrack-") as folder:

        def fetch(system: Any, path: str) -> Path:
            root = PurePosixPath(path)
            target = Path(folder) / root.name
            found = system.find(path) if system.exists(path) else []
            # Stores keep an empty object for a folder that somebody made by hand: `bags/a/`.
            names = [name for name in found if not name.endswith(("/", *without))]
            if not names:
                raise PlaceError(f"{place}: nothing there")
            for name in names:
                file = target / PurePosixPath(name).relative_to(root)
                if ".." in file.parts:
                    raise PlaceError(f"{place}: {name} leads out of it")
                file.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(name, str(file))
            return target

        yield _asked(str(place), fetch)


@contextmanager
def written(place: str | Path) -> Iterator[Path]:
    """Give a folder to write into: the place itself, or one whose files go to the URL where the block ends well.

    A folder in it replaces what lies under its name at the URL; other files and folders there stay.

    Raises:
        PlaceError: it cannot be written.
    """
    if not is_remote(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="qdtrack-") as name:
        folder = Path(name)
        yield folder

        def store(system: Any, path: str) -> None:
            for older in (below(path, one.name) for one in folder.iterdir() if one.is_dir()):
                if system.exists(older):
                    system.rm(older, recursive=True)
            for file in sorted(one for one in folder.rglob("*") if one.is_file()):
                target = below(path, file.relative_to(folder).as_posix())
                system.makedirs(target.rpartition("/")[0], exist_ok=True)
                system.put_file(str(file), target)

        _asked(str(place), store)


def _asked(place: str, ask: Callable[[Any, str], Any]) -> Any:
    """What the file system of a URL answers; stores tell of their troubles with errors of their own kinds."""
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise PlaceError(f"{place}: needs fsspec: pip install 'qdtrack[fleet]'") from None
    check_password(place)
    try:
        return ask(*url_to_fs(place))
    except (PlaceError, FileNotFoundError):
        raise
    except ImportError as error:
        raise PlaceError(f"{place}: {error}; pip install 'qdtrack[fleet]', or gcsfs for gs://") from None
    except Exception as error:
        raise PlaceError(
            f"{place}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from None
