"""What every reader of a data set (``readers/``) is told, and what it gives: labelled images in recordings."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from qdtrack_model.data.samples import IGNORED, Objects, Sample

Part = Literal["all", "train", "val"]
ALL = "all"  # in the place of the names of all classes
UNKNOWN = -1  # id of an object whose identity is unknown
PERSON_SYNSET = "person.n.01"  # the class that LVIS' and TAO's files call `baby`, and that means any human being
EVERYWHERE = (0.0, 0.0, 1e6, 1e6)  # a region that covers any image


class DataError(ValueError):
    """A data set that cannot be used; the text names the file, the line or entry, and the value."""


@dataclass(frozen=True)
class Labelling:
    """How the categories of a set become the classes of a network.

    Args:
        classes: of the network, in order.
        categories: names of categories by class, those of ``ignored`` are neither learned nor punished. A class that
            is not named here has the category of its own name; all other categories are background. Upper and lower
            case are alike.
        partial: classes that are not complete although the file says so.
        complete: classes that are complete although the file does not say so; ``all`` means all.
        absent: classes of which a picture shows nothing where the detector of ``detected.json`` saw nothing of them;
            without that file anything may be there.
        fill_score: detections from this score on count as objects of classes that are not complete.
        ignore_score: of the classes in ``absent`` only places are unsure, those of detections from this score on, and
            all else is background; None: a picture is unsure as a whole where anything was seen.
    """

    classes: tuple[str, ...]
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    partial: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    fill_score: float = 0.5
    ignore_score: float | None = None

    @cached_property
    def _labels(self) -> dict[str, int]:
        """Class index, or IGNORED, by the name of a category in lower case."""
        named = {c.lower(): c for c in self.classes if c not in self.categories}
        named |= {c.lower(): name for name, names in self.categories.items() for c in names}
        return {c: IGNORED if name == "ignored" else self.classes.index(name) for c, name in named.items()}

    def label(self, category: str) -> int | None:
        """The class index of a category, IGNORED, or None for background."""
        return self._labels.get(category.lower())

    def known(self, *names: str) -> str:
        """The first of several names of one category that is of a class or ignored; the first where none is."""
        return next((name for name in names if self.label(name) is not None), names[0])

    def incomplete(self, categories: Iterable[str], labelled: Iterable[str]) -> list[int]:
        """The classes of which something may be in a picture without a box.

        Args:
            categories: of the set.
            labelled: those of which every object in the picture has a box.
        """
        if ALL in self.complete:
            return []
        known = {name.lower() for name in labelled}
        found, lacking = set(), set()  # classes that the set has, and those of which something is not labelled
        for category in categories:
            label = self.label(category)
            if label is not None and label >= 0:
                found.add(label)
                if category.lower() not in known:
                    lacking.add(label)
        return [
            index
            for index, name in enumerate(self.classes)
            if name not in self.complete and (index not in found or index in lacking or name in self.partial)
        ]


@dataclass(frozen=True)
class Reading:
    """What a reader is asked for.

    Args:
        labelling: how categories become classes.
        columns: the number of each class in MOTChallenge files.
        largest: (height, width) that larger images are scaled to fit when they are read; None: they stay as they are.
        part: of a set that is divided: what is to be learned (``train``), or what it is to be judged by (``val``).
        frames: first and last frame, from 1, of every sequence; None: all.
        half: of every sequence the first half, see :meth:`span`.
        annotations: where they are, if not where the data set has them: a path below its folder, or a topic of a bag.
        images: the same of the images.
    """

    labelling: Labelling
    columns: tuple[int, ...] = ()
    largest: tuple[int, int] | None = None
    part: Part = "all"
    frames: tuple[int, int] | None = None
    half: bool = False
    annotations: str = ""
    images: str = ""

    def span(self, length: int) -> tuple[int, int]:
        """First and last frame wanted of a sequence of so many; a first half is the floor(N / 2) + 1 of MOT17's."""
        return (1, length // 2 + 1) if self.half else self.frames or (1, length)

    def chosen(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The frames wanted of a sequence."""
        first, last = self.span(len(samples))
        return samples[first - 1 : last]


@dataclass(frozen=True, eq=False)
class Recording:
    """Labelled images that belong together.

    Args:
        name: within the data set.
        samples: the frames of one sequence in order, none of them in memory where they are in files; or stills.
        still: the samples have nothing to do with each other.
        frame_rate: frames a second of a sequence.
        path: folder or file that it lies in, which another recording may lie in as well.
    """

    name: str
    samples: Sequence[Sample]
    path: Path
    still: bool = False
    frame_rate: float = 10.0


Odd = Counter[str]  # how often something was odd in a data set that can be used all the same


class Reader(Protocol):
    """A module of ``readers/``."""

    def recognises(self, folder: Path) -> bool:
        """Whether the folder is laid out as this data set is."""

    def read(self, folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
        """The recordings in a folder, and how often something was odd in them.

        Raises:
            ValueError: it holds nothing to read, or something broken.
        """


def find_below(folder: Path, roots: Sequence[Path], name: str) -> Path | None:
    """Where ``name`` is, or would be, in one of the ``roots``; None where that is not below ``folder``."""
    paths = [root / name for root in roots]
    if not all(path.resolve().is_relative_to(folder.resolve()) for path in paths):
        return None
    return next((path for path in paths if path.is_file()), paths[0])


def read_cells(path: Path, least: int) -> Iterator[tuple[str, list[str]]]:
    """The lines of a text file that are not blank: where each is (file and number), and its cells between blanks.

    Raises:
        DataError: it cannot be read, or a line has fewer cells than ``least``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"{path}: cannot be read: {reason}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()
        if cells:
            where = f"{path}, line {number}"
            if len(cells) < least:
                raise DataError(f"{where}: got {len(cells)} columns, expected {least} or more: {line.strip()[:80]!r}")
            yield where, cells


def numbers(cells: Sequence[str], where: str) -> list[float]:
    """The cells of a line as numbers.

    Raises:
        DataError: one is none.
    """
    found = []
    for cell in cells:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{where}: got {cell!r}, expected a number")
        found.append(value)
    return found


def whole(cell: str, where: str) -> int:
    """A cell as a whole number, also where it is written as 3.0.

    Raises:
        DataError: it is none.
    """
    [value] = numbers([cell], where)
    if value != int(value):
        raise DataError(f"{where}: got {cell!r}, expected a whole number")
    return int(value)


class Annotations:
    """The boxes of a recording as a reader meets them, image by image in any order.

    Args:
        labelling: how categories become classes.
        odd: where counts go.
    """

    def __init__(self, labelling: Labelling, odd: Odd) -> None:
        self._labelling, self._odd = labelling, odd
        self._rows: defaultdict[Hashable, list[tuple[tuple[float, ...], int, int]]] = defaultdict(list)
        self._numbers: dict[Hashable, int] = {}

    def add(
        self,
        image: Hashable,
        category: str,
        box: tuple[float, float, float, float],
        identity: Hashable | None = None,
        ignored: bool = False,
    ) -> None:
        """Add an object.

        Args:
            image: by which :meth:`objects` will know it.
            category: its name in the data set.
            box: x1 y1 x2 y2 in pixels, perhaps beyond the image: what may be seen through its border stays.
            identity: the same for the same object, of any type; None: unknown.
            ignored: it is to be neither learned nor punished, whatever its category.
        """
        label = IGNORED if ignored else self._labelling.label(category)
        if label is None:
            self._odd["objects of categories that are no class: taken for background"] += 1
        elif not (box[0] < box[2] and box[1] < box[3]):
            self._odd["boxes without area: left out"] += 1
        else:
            number = UNKNOWN if identity is None else self._numbers.setdefault(identity, len(self._numbers))
            self._rows[image].append((box, number, label))

    def objects(self, image: Hashable, incomplete: Sequence[int] = ()) -> Objects:
        """What is in an image, and the classes of which more may be in it without a box."""
        rows = self._rows.get(image, [])
        return Objects(
            np.array([box for box, _, _ in rows], np.float64).reshape(-1, 4),
            np.array([number for _, number, _ in rows], np.int64),
            np.array([label for _, _, label in rows], np.int64),
            np.tile(EVERYWHERE, (len(incomplete), 1)),
            np.array(incomplete, np.int64),
        )
