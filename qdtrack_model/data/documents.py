"""JSON from outside, checked as it is read: an error names the file, the place in it and the value."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class DocumentError(ValueError):
    """A JSON file that cannot be used; the text names the file, the place and the value."""


def is_number(value: Any) -> bool:
    """Whether a value is a number that is finite; JSON knows whole numbers that no float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


class Node:
    """A value in a document that knows its place, which is put into words only for an error."""

    __slots__ = ("_key", "_parent", "value")

    def __init__(self, value: Any, key: Path | str | int, parent: Node | None = None) -> None:
        self.value = value
        self._key = key
        self._parent = parent

    @property
    def place(self) -> str:
        """Such as ``results.json, [3].labels[0].id``."""
        steps: list[str] = []
        node = self
        while node._parent is not None:
            steps.append(f"[{node._key}]" if isinstance(node._key, int) else f".{node._key}")
            node = node._parent
        return f"{node._key}, {''.join(reversed(steps)).lstrip('.')}" if steps else str(node._key)

    def error(self, expected: str) -> DocumentError:
        """What to raise where the value is not what was expected."""
        text = repr(self.value)
        return DocumentError(f"{self.place}: got {text if len(text) <= 80 else text[:77] + '...'}, expected {expected}")

    def get(self, key: str) -> Node | None:
        """What an object holds under ``key``; None where it is missing or null."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        value = self.value.get(key)
        return None if value is None else Node(value, key, self)

    def __getitem__(self, key: str) -> Node:
        found = self.get(key)
        if found is None:
            raise DocumentError(f"{self.place}: {key} is missing")
        return found

    def __iter__(self) -> Iterator[Node]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        return (Node(value, index, self) for index, value in enumerate(self.value))

    def number(self) -> float:
        """A number that is finite."""
        if not is_number(self.value):
            raise self.error("a number")
        return float(self.value)

    def integer(self) -> int:
        """A whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.error("a whole number")
        return self.value

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            raise self.error("a text")
        return self.value

    def identity(self) -> str:
        """An id: a text, or a whole number as text."""
        return self.value if isinstance(self.value, str) else str(self.integer())


def read_json(path: str | Path) -> Node:
    """Read a file.

    Raises:
        DocumentError: it cannot be read or is not JSON.
    """
    path = Path(path)
    try:
        return Node(json.loads(path.read_text(encoding="utf-8-sig")), path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DocumentError(f"{path}: cannot be read: {reason}") from None
    except (json.JSONDecodeError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DocumentError(f"{path}{where}: not JSON: {str(error)[:80]}") from None
