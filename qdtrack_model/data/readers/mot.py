"""MOTChallenge files: ``gt.txt``, ``det.txt``, result files and ``seqinfo.ini`` (https://motchallenge.net).

A box line is ``frame,id,left,top,width,height,confidence[,class[,visibility]]``, frames counted from 1. The 2015
challenge has ten columns, the last three of them world coordinates. Boxes are taken as they stand, sub-pixel and
without arithmetic on a one-based pixel grid: ``x1 = left``, ``x2 = left + width``.
"""

from __future__ import annotations

import configparser
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.config import ModelConfig
from qdtrack_model.structures import Array, Tracks

# The numbers of MOTChallenge's classes that networks find; it has 13 in all.
MOT_CLASSES = {"pedestrian": 1, "person": 1, "car": 3, "vehicle": 3, "bicycle": 4, "motorbike": 5, "motorcycle": 5}
FIRST_FREE_CLASS = 14
LARGEST = 2**53  # of frames and ids: of larger ones a float does not hold every whole number
IGNORED_CLASS = 8  # MOTChallenge's distractor, in which we write what is not scored
COLUMNS = ("frame", "id", "left", "top", "width", "height", "confidence", "class", "visibility")


class MotError(ValueError):
    """A MOTChallenge file that cannot be used; the text names the file, the line and the value."""


@dataclass(frozen=True, eq=False)
class MotBoxes:
    """The boxes of one file, one row each, in the order of the file.

    Args:
        frames: (N,) int64, from 1.
        ids: (N,) int64; -1 in detection files.
        boxes: (N, 4) float64, x1 y1 x2 y2 in pixels of the image.
        confidences: (N,) float64; in ground truth 0 marks a box that is not scored.
        classes: (N,) int64, MOTChallenge classes (1 pedestrian, 3 car, 8 distractor ...); -1 where not given.
        visibilities: (N,) float64 in 0..1; -1 where not given.
    """

    frames: Array
    ids: Array
    boxes: Array
    confidences: Array
    classes: Array
    visibilities: Array

    def __post_init__(self) -> None:
        for name, kind in (("frames", np.int64), ("ids", np.int64), ("confidences", np.float64),
                           ("classes", np.int64), ("visibilities", np.float64)):  # fmt: skip
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind).reshape(-1))
        object.__setattr__(self, "boxes", np.asarray(self.boxes, np.float64).reshape(-1, 4))
        lengths = {name: len(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"MotBoxes: columns of different lengths: {lengths}")

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: Array | slice) -> MotBoxes:
        """The given rows (a slice, a boolean mask or indices)."""
        return MotBoxes(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def between(self, first: int, last: int) -> MotBoxes:
        """The boxes of frames ``first`` to ``last``, both included; frame numbers are kept."""
        return self[(self.frames >= first) & (self.frames <= last)]


def join(parts: Sequence[MotBoxes]) -> MotBoxes:
    """All rows of ``parts``, in order; none where there are no parts."""
    empty = MotBoxes(*(np.zeros(0) for _ in range(6)))
    names = MotBoxes.__dataclass_fields__
    return MotBoxes(*(np.concatenate([getattr(part, name) for part in [empty, *parts]]) for name in names))


def mot_class(name: str, index: int) -> int:
    """The class column for the class ``name``, ``index``-th (from 0) of a network: 1 pedestrian, 3 car or vehicle ...

    A name that MOTChallenge does not know has ``14 + index``, above its classes and different for all such names.
    """
    return MOT_CLASSES.get(name.lower(), FIRST_FREE_CLASS + index)


def class_columns(model: ModelConfig) -> Array:
    """The class column of each class of a network, (C,) int64: as its configuration says, else by :func:`mot_class`.

    Raises:
        MotError: two classes have one column, so that one would be taken for the other.
    """
    columns = model.columns or tuple(mot_class(name, index) for index, name in enumerate(model.classes))
    owners: dict[int, str] = {}
    for name, column in zip(model.classes, columns, strict=True):
        if column in owners:
            raise MotError(
                f"classes {owners[column]!r} and {name!r} are both {column} in the class column of MOTChallenge files; "
                "give each class a number of its own by `columns` beside `classes` in the recipe or preset"
            )
        owners[column] = name
    return np.array(columns, np.int64)


def from_tracks(tracks: Tracks, frame: int, columns: Array) -> MotBoxes:
    """Tracks of one frame as rows: ids from 1, the class column of each label by ``columns``, see class_columns."""
    count = len(tracks)
    return MotBoxes(
        np.full(count, frame), tracks.ids + 1, tracks.boxes, tracks.scores, columns[tracks.labels], np.full(count, -1.0)
    )


def _numbers(path: Path) -> Iterator[tuple[int, list[float]]]:
    """The lines of a file that are not blank, as (line number, values)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise MotError(f"{path}: cannot be read: {reason}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.strip().rstrip(",").split(",")
        if cells == [""]:
            continue
        if not 7 <= len(cells) <= 10:
            raise MotError(
                f"{path}, line {number}: got {len(cells)} columns, expected 7 to 10 "
                f"({','.join(COLUMNS)}): {line.strip()[:80]!r}"
            )
        values = []
        for column, cell in enumerate(cells):
            name = COLUMNS[column] if column < len(COLUMNS) else f"column {column + 1}"
            try:
                value = float(cell)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise MotError(f"{path}, line {number}: {name} is {cell.strip()!r}, expected a number")
            values.append(value)
        yield number, values


def _check_row(path: Path, number: int, values: list[float]) -> None:
    """Raise MotError where a row has the right form but cannot be a box."""
    for column in (0, 1):
        if values[column] != int(values[column]) or abs(values[column]) > LARGEST:
            raise MotError(f"{path}, line {number}: {COLUMNS[column]} is {values[column]:g}, expected a whole number")
    if values[0] < 1:
        raise MotError(f"{path}, line {number}: frame is {values[0]:g}, but frames count from 1")
    for column in (4, 5):
        if values[column] < 0:
            raise MotError(f"{path}, line {number}: {COLUMNS[column]} is {values[column]:g}, expected 0 or more")


def _class_and_visibility(values: list[float]) -> tuple[int, float]:
    """Columns 8 and 9; (-1, -1) where they are missing or are world coordinates (ten columns, MOT15)."""
    tail = values[7:]
    if not tail or tail[0] != int(tail[0]) or (len(tail) == 3 and tail[1:] != [-1, -1]):
        return -1, -1.0
    return int(tail[0]), tail[1] if len(tail) > 1 else -1.0


def read_rows(path: str | Path, unique: bool = False) -> Iterator[tuple[int, list[float]]]:
    """The rows of a file as (line number, 7 to 10 values), columns as they stand.

    Args:
        path: the file.
        unique: ids below 0 too may be once only in a frame.

    Raises:
        MotError: the file cannot be read, a value is not a number, or an id (0 or more) is twice in one frame.
    """
    path = Path(path)
    seen: dict[tuple[int, int], int] = {}
    for number, values in _numbers(path):
        _check_row(path, number, values)
        frame, identity = int(values[0]), int(values[1])
        if identity >= 0 or unique:
            first = seen.setdefault((frame, identity), number)
            if first != number:
                raise MotError(f"{path}, line {number}: id {identity} is in frame {frame} already (line {first})")
        yield number, values


def read_mot(path: str | Path) -> MotBoxes:
    """Read a file of boxes; an empty file gives no boxes.

    Raises:
        MotError: as :func:`read_rows`.
    """
    table = _plain_table(Path(path))
    if table is None:
        rows: list[tuple[float, ...]] = []
        for _, values in read_rows(path):
            frame, identity, left, top, width, height, confidence = values[:7]
            kind, visibility = _class_and_visibility(values)
            rows.append((frame, identity, left, top, left + width, top + height, confidence, kind, visibility))
        table = np.array(rows, np.float64).reshape(-1, 9)
    return _boxes(table)


def read_mot_frames(path: str | Path, lines: int = 20000) -> Iterator[tuple[int, MotBoxes]]:
    """Number and boxes of each frame that has any, of a file in the order of its frames, which may be of any length.

    Args:
        path: the file, as :func:`write_mot` writes it.
        lines: that are in memory at once.

    Raises:
        MotError: as :func:`read_rows`, or its frames are in another order.
    """
    path, last = Path(path), 0
    rest = np.zeros((0, 9))
    with path.open(encoding="utf-8") as file:
        for block in iter(lambda: list(islice(file, lines)), []):
            table = _plain_table(block)
            if table is None:
                read_mot(path)  # which tells what is wrong
                raise MotError(f"{path}: expected nine columns in every line")
            table = np.concatenate([rest, table])
            starts = np.flatnonzero(np.diff(table[:, 0], prepend=last))
            if (np.diff(table[:, 0], prepend=last) < 0).any():
                raise MotError(f"{path}: frames are not in order near frame {table[0, 0]:g}")
            for part in np.split(table, starts[1:])[:-1]:
                yield int(part[0, 0]), _boxes(part)
            rest = table[starts[-1] :] if len(starts) else table
            last = int(rest[0, 0]) - 1
        if len(rest):
            yield int(rest[0, 0]), _boxes(rest)


def _boxes(table: Array) -> MotBoxes:
    return MotBoxes(table[:, 0], table[:, 1], table[:, 2:6], table[:, 6], table[:, 7], table[:, 8])


def _plain_table(source: Path | list[str]) -> Array | None:
    """The rows (N, 9) of a sound file of nine columns, as :func:`write_mot` writes it, or of its lines; twenty times
    faster than line by line, and without a Python object for each number. None where the lines must be looked at
    singly."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an empty file
            table = np.loadtxt(source, delimiter=",", comments=None, ndmin=2, encoding="utf-8")
    except (OSError, ValueError):
        return None
    if table.shape[1] != 9 or not np.isfinite(table).all():
        return None
    whole = table[:, [0, 1, 7]]
    if (whole != np.rint(whole)).any() or (abs(whole[:, :2]) > LARGEST).any():
        return None
    named = whole[whole[:, 1] >= 0, :2]
    named = named[np.lexsort(named.T)]
    twice = (named[1:] == named[:-1]).all(axis=1).any()
    if twice or (whole[:, 0] < 1).any() or (table[:, 4:6] < 0).any():
        return None
    table[:, 4:6] += table[:, 2:4]
    return table


def format_rows(boxes: MotBoxes) -> Iterator[str]:
    """The lines (with line ends) of :func:`write_mot`: positions to 3 decimals, confidences to 4."""
    for row in range(len(boxes)):
        x1, y1, x2, y2 = boxes.boxes[row]
        yield (
            f"{boxes.frames[row]},{boxes.ids[row]},{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},"
            f"{boxes.confidences[row]:.4g},{boxes.classes[row]},{boxes.visibilities[row]:.4g}\n"
        )


def write_mot(path: str | Path, boxes: MotBoxes) -> None:
    """Write boxes as nine columns, in the order given; the file appears complete or not at all."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(format_rows(boxes))


@dataclass(frozen=True)
class SequenceInfo:
    """What ``seqinfo.ini`` says of a sequence: frames a second, number of frames, image size in pixels."""

    name: str
    frame_rate: float
    length: int
    width: int
    height: int
    image_folder: str = "img1"
    image_extension: str = ".jpg"


def read_seqinfo(folder: str | Path) -> SequenceInfo:
    """Read ``seqinfo.ini`` in a sequence folder.

    Raises:
        MotError: the file is missing, lacks a key, or a value is not a positive number.
    """
    path = Path(folder) / "seqinfo.ini"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise MotError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if "Sequence" not in parser:
        raise MotError(f"{path}: no section [Sequence]")
    section = parser["Sequence"]

    def number(key: str) -> float:
        text = section.get(key)
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise MotError(f"{path}: {key} is {text!r}, expected a positive number")
        return value

    return SequenceInfo(
        section.get("name", Path(folder).resolve().name),
        number("frameRate"), int(number("seqLength")), int(number("imWidth")), int(number("imHeight")),
        section.get("imDir", "img1"), section.get("imExt", ".jpg"),
    )  # fmt: skip


def write_seqinfo(folder: str | Path, info: SequenceInfo) -> None:
    """Write ``seqinfo.ini`` into a sequence folder (made where missing)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = (
        f"[Sequence]\nname={info.name}\nimDir={info.image_folder}\nframeRate={info.frame_rate:g}\n"
        f"seqLength={info.length}\nimWidth={info.width}\nimHeight={info.height}\nimExt={info.image_extension}\n"
    )
    (folder / "seqinfo.ini").write_text(text, encoding="utf-8")
