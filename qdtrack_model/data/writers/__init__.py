"""Results in the form that benchmarks take, one file a benchmark: the videos it wants, and what was tracked in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from qdtrack_model.atomic import atomic_write
from qdtrack_model.data.sources import Source
from qdtrack_model.structures import Tracks


class WriterError(ValueError):
    """A benchmark's data that cannot be used, or results that it cannot take."""


@dataclass(frozen=True, eq=False)
class Video:
    """One video of a benchmark.

    Args:
        name: as the benchmark calls it.
        source: its images; those that cannot be decoded are left out.
        frames: the benchmark's name or number of each frame, by the index that ``source`` gives it.
    """

    name: str
    source: Source
    frames: Mapping[int, str | int]


class Writer(Protocol):
    """What a benchmark wants, and how it is written."""

    @property
    def videos(self) -> Sequence[Video]: ...

    def write(self, results: Iterable[tuple[Video, Mapping[int, Tracks]]]) -> None:
        """Write the tracks of each of the videos by the index of the frame, as they come."""


class JsonList:
    """A context manager that writes a JSON list row by row; the file appears whole, or not at all.

    Args:
        path: of the file.
        key: of the list, where the file holds an object with nothing else in it.
    """

    def __init__(self, path: Path, key: str | None = None) -> None:
        self._path, self._stack, self._between = path, ExitStack(), "\n"
        self._around = ("[", "]") if key is None else (f'{{"{key}": [', "]}")

    def __enter__(self) -> JsonList:
        partial = self._stack.enter_context(atomic_write(self._path))
        self._file = self._stack.enter_context(partial.open("w", encoding="utf-8"))
        self._file.write(self._around[0])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.write(f"\n{self._around[1]}\n")
        self._stack.__exit__(kind, error, trace)

    def add(self, row: dict[str, Any]) -> None:
        """Write another entry."""
        self._file.write(self._between + json.dumps(row))
        self._between = ",\n"


def part_folder(data: Path, part: str, expected: str) -> Path:
    """A folder or file of the benchmark's data.

    Raises:
        WriterError: it is not there.
    """
    if not (data / expected).exists():
        raise WriterError(f"{data}: expected {expected} in it for the part {part}")
    return data / expected
