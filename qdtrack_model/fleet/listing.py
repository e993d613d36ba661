"""The bags that a command is given: paths, URLs, and lists of them with tags."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from qdtrack_model.fleet.places import PlaceError, below, check_password, expanded, is_remote, read_text


@dataclass(frozen=True)
class Listed:
    """A bag.

    Args:
        place: path or URL.
        name: in a run, unlike those of all others.
        tags: such as ``day`` or ``place``, by which results are put together.
    """

    place: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


def listed(inputs: Sequence[str]) -> list[Listed]:
    """The bags of paths, URLs with or without ``*``, and CSV files with a column ``bag``, whose other columns are tags.

    Raises:
        PlaceError: a list cannot be read or has no such column, a pattern stands for nothing, or a URL holds a
            password.
    """
    found: list[tuple[str, Mapping[str, str]]] = []
    for one in inputs:
        found += _of_list(one) if one.endswith(".csv") else [(place, {}) for place in expanded(one)]
    named: dict[str, Listed] = {}
    for place, tags in found:
        check_password(place)
        stem = _stem(place)
        names = (f"{stem}-{number}" if number > 1 else stem for number in range(1, len(found) + 1))
        name = next(name for name in names if name not in named)
        named[name] = Listed(place, name, tags)
    return list(named.values())


def _of_list(place: str) -> list[tuple[str, Mapping[str, str]]]:
    try:
        rows = list(csv.DictReader(read_text(place).removeprefix("\ufeff").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PlaceError(f"{place}: cannot be read: {error}") from None
    if not rows or not all(row.get("bag") for row in rows):
        raise PlaceError(f"{place}: expected a CSV file with a header, its column `bag` a path or URL in every row")
    folder = place.rpartition("/")[0] or "."
    found: list[tuple[str, Mapping[str, str]]] = []
    for row in rows:
        bag = row.pop("bag")
        whole = is_remote(bag) or Path(bag).is_absolute()
        found.append((bag if whole else below(folder, bag), {key: value or "" for key, value in row.items() if key}))
    return found


def _stem(place: str) -> str:
    """What to call a bag: its name without the end of a file's, and never a way out of the run."""
    path = PurePosixPath(place) if is_remote(place) else PurePosixPath(Path(place).resolve())
    stem = path.stem if path.suffix in (".mcap", ".db3") else path.name
    return stem.strip(".") or "bag"
