"""What is done of work on many recordings, kept beside its results until all is: the same command goes on there."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from qdtrack_model.fleet.listing import Listed
from qdtrack_model.fleet.places import below, read_text, remove, stamp, write_text

FOLDER, TERMS = ".unfinished", "terms.json"


class Unfinished:
    """The results of single recordings, a file each.

    A recording that changed meanwhile is not done: its stamp is another one.

    Args:
        place: folder or URL that the work writes to.
    """

    def __init__(self, place: str) -> None:
        self._folder = below(place, FOLDER)

    def terms(self) -> dict[str, Any] | None:
        """What the work that was interrupted here depended on, besides its recordings; None where there is none.

        Raises:
            PlaceError: the URL cannot be read.
        """
        return self._read(TERMS) or None

    def begin(self, terms: dict[str, Any]) -> None:
        """Forget what was done, and remember what new work depends on.

        Args:
            terms: ready for JSON.

        Raises:
            OSError, PlaceError: the place cannot be written.
        """
        self.end()
        self._write(TERMS, terms)

    def keep(self, done: Listed, result: Any) -> None:
        """A recording is done.

        Args:
            done: what was worked on.
            result: ready for JSON.

        Raises:
            OSError, PlaceError: the place cannot be written.
        """
        self._write(_file(done), {"stamp": _stamp(done), "result": result})

    def known(self, wanted: Listed) -> Any | None:
        """The result of a recording as it is now; None where it is still to be worked on."""
        kept = self._read(_file(wanted))
        return kept.get("result") if kept.get("stamp") == _stamp(wanted) else None

    def end(self) -> None:
        """All is done: nothing stays of this.

        Raises:
            OSError, PlaceError: the place cannot be written.
        """
        remove(self._folder)

    def _read(self, name: str) -> dict[str, Any]:
        """What was written; nothing where it is not there, or broken."""
        try:
            content = json.loads(read_text(below(self._folder, name)))
        except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_text(below(self._folder, name), json.dumps(content, indent=1) + "\n")


def _file(listed: Listed) -> str:
    return f"{quote(listed.name, safe='')}.json"


def _stamp(listed: Listed) -> list[Any]:
    return [stamp(listed.place), dict(listed.tags)]
