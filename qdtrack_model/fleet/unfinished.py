"""What is done of work on many recordings, kept beside its results until all is: the same command goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from qdtrack_model.fleet.listing import Listed
from qdtrack_model.fleet.places import PlaceError, below, read_text, remove, stamp, write_text

FOLDER, TERMS = ".unfinished", "terms.json"


class Unfinished:
    """The results of single recordings, a file each, and what the work depends on besides them.

    A recording whose files or results are others than they were is not done: its stamps differ.

    Args:
        place: folder or URL that the work writes to.
        terms: what it depends on, ready for JSON.

    Raises:
        PlaceError: the URL cannot be read.
    """

    def __init__(self, place: str, terms: dict[str, Any]) -> None:
        self._place, self._folder = place, below(place, FOLDER)
        self._terms = json.loads(json.dumps(terms))
        self._before = self._read(TERMS)

    @property
    def interrupted(self) -> bool:
        """Whether work was interrupted here when some of it was done."""
        return bool(self._before)

    @property
    def others(self) -> list[str]:
        """Names of the terms that are others than those of the work that was interrupted here."""
        before = self._before or self._terms
        return [name for name in self._terms if before.get(name) != self._terms[name]]

    def keep(self, done: Listed, stamped: Sequence[Any], result: Any, made: Sequence[str]) -> None:
        """A recording is done. Nothing is kept of one that has no stamp, or whose results have none.

        Args:
            done: what was worked on.
            stamped: its stamp from before the work began, see :func:`stamp_of`.
            result: ready for JSON.
            made: the files and folders that were written, below the place.

        Raises:
            OSError, PlaceError: the place cannot be written.
        """
        stamps = {name: stamp(below(self._place, name)) for name in made}
        if not stamped or not all(stamps.values()):
            return
        if not self._before:
            remove(self._folder)
            self._write(TERMS, self._terms)
            self._before = self._terms
        self._write(_file(done), {"stamp": stamped, "result": result, "made": stamps})

    def known(self, wanted: Listed, more: Any = None) -> Any | None:
        """The result of a recording as it is now; None where it is still to be worked on.

        Args:
            wanted: the recording.
            more: what its stamp was made with.

        Raises:
            PlaceError: the place cannot be read.
        """
        kept = self._read(_file(wanted)) if self._before else {}
        if not kept or kept.get("stamp") != stamp_of(wanted, more):
            return None
        for name, was in kept.get("made", {}).items():
            now = stamp(below(self._place, name))
            if any(file not in now for file in was):  # pictures that were added are no harm
                return None
        return kept.get("result")

    def _read(self, name: str) -> dict[str, Any]:
        """What was written; nothing where it is not there, or broken."""
        try:
            content = json.loads(read_text(below(self._folder, name)))
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, json.JSONDecodeError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_text(below(self._folder, name), json.dumps(content, indent=1) + "\n")


def forget(place: str) -> None:
    """All that was to be done at a place is done, or begins anew.

    Raises:
        OSError, PlaceError: it cannot be written.
    """
    remove(below(place, FOLDER))


def stamp_of(recording: Listed, more: Any = None) -> list[Any]:
    """Tells a recording with its tags from what it was before; empty where that cannot be told.

    Args:
        recording: path or URL, and tags.
        more: what else its result depends on, ready for JSON.
    """
    with suppress(OSError, PlaceError):
        found = stamp(recording.place)
        return [found, dict(recording.tags), more] if found else []
    return []


def _file(listed: Listed) -> str:
    """By a hash: names may be long, and of any letters."""
    return f"{hashlib.sha256(listed.name.encode()).hexdigest()[:32]}.json"
