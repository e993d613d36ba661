"""Folders of data as sets of samples, whatever the format of a data set: each has a reader in ``readers/``."""

from __future__ import annotations

import glob
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdtrack_model.config import ConfigError, ModelConfig, require
from qdtrack_model.data.readers import (
    bag,
    bdd100k,
    coco,
    crowdhuman,
    jde,
    kitti,
    lvis,
    motchallenge,
    tao,
    waymo_parquet,
    yolo,
)
from qdtrack_model.data.readers.mot import class_columns
from qdtrack_model.data.reading import ALL, Labelling, Part, Reader, Reading, Recording
from qdtrack_model.data.samples import IGNORED, SampleSet
from qdtrack_model.structures import Array

# The first that recognises a folder reads it, unless the recipe names another.
READERS: dict[str, Reader] = {
    "motchallenge": motchallenge,
    "lvis": lvis,
    "coco": coco,
    "crowdhuman": crowdhuman,
    "bdd100k": bdd100k,
    "kitti": kitti,
    "tao": tao,
    "waymo": waymo_parquet,
    "bag": bag,
    "jde": jde,
    "yolo": yolo,
}


@dataclass(frozen=True)
class SetConfig:
    """How the data in one folder are used."""

    format: str = ""  # the name of its reader, where the folder does not show it
    annotations: str = ""  # where they are, if not where the data set has them: a path below the folder, a bag's topic
    images: str = ""  # the same of the images
    weight: float = 1.0  # how often an image is drawn, relative to those of other sets
    # Images of a class that less than this part of a set's images show are drawn more often, sqrt(this / part) times
    # (LVIS: 1e-3). 0: all alike.
    repeat_below: float = 0.0
    scale_range: tuple[float, float] | None = None  # of crops; None: that of all pairs
    frames: tuple[int, int] | None = None  # of sequences: first and last one to train on; validation has the others
    half: bool = False  # of every sequence the first half, floor(N / 2) + 1 frames (MOT17's half-train), is trained on
    # Of stills: the parts of the pairs that are mosaics and that another still shines through, and how their labels
    # are read (`data/readers/coco.py`).
    mosaic: float = 0.0
    mixup: float = 0.0
    partial: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    fill_score: float = 0.5
    ignore_score: float | None = None

    def __post_init__(self) -> None:
        require(self.format in ("", *READERS), "format", self.format, f"one of {', '.join(READERS)}")
        require(not (self.frames and self.half), "frames", self.frames, "nothing beside half")
        if self.frames is not None:
            require(1 <= self.frames[0] <= self.frames[1], "frames", self.frames, "the first, from 1, and the last")
        require(self.weight > 0, "weight", self.weight, "a positive number")
        for key in ("mosaic", "mixup"):
            require(0 <= getattr(self, key) <= 1, key, getattr(self, key), "a number in [0, 1]")
        require(0 <= self.repeat_below < 1, "repeat_below", self.repeat_below, "a number in [0, 1)")
        require(0 < self.fill_score <= 1, "fill_score", self.fill_score, "a number in (0, 1]")
        if self.ignore_score is not None:
            require(0 < self.ignore_score < self.fill_score, "ignore_score", self.ignore_score, "0 < it < fill_score")
            require(bool(self.absent), "ignore_score", self.ignore_score, "classes in absent, of which it tells")
        if self.scale_range is not None:
            require(0 < self.scale_range[0] <= self.scale_range[1], "scale_range", self.scale_range, "0 < low <= high")


@dataclass(frozen=True)
class DataConfig:
    """Where data sets are, what they call the classes of a network, and how each is used."""

    root: tuple[str, ...] = ()  # folders that are a set or a sequence, or hold some; `*` stands for anything in a name
    # Names in the sets by class; objects of those under `ignored` are neither learned nor punished. A class that is
    # not named here goes by its own name.
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, SetConfig] = field(default_factory=dict)  # by name of the folder, or of the one above it
    others: SetConfig = field(default_factory=SetConfig)  # those that are not named

    def roots(self) -> list[Path]:
        """The folders that ``root`` names.

        Raises:
            ValueError: there is none of a name with a ``*``.
        """
        found = []
        for name in self.root:
            paths = sorted(glob.glob(name)) if "*" in name else [name]
            if not paths:
                raise ValueError(f"data.root: {name}: no folder has such a name")
            found += [Path(path) for path in paths]
        return found

    def of(self, folder: Path) -> SetConfig:
        """How the data in a folder are used."""
        folder = folder.resolve()
        return self.sets.get(folder.name) or self.sets.get(folder.parent.name) or self.others

    def reading(self, folder: Path, model: ModelConfig, part: Part) -> Reading:
        """What is asked of the reader of a folder: images as they are stored, and all frames of sequences.

        Raises:
            ConfigError: the recipe names a class that the network does not have.
        """
        how = self.of(folder)
        for name in (*self.categories, *how.partial, *how.complete, *how.absent):
            if name not in (*model.classes, "ignored") and not (name == ALL and name in how.complete):
                raise ConfigError(f"data: {name!r} is none of the model's classes ({', '.join(model.classes)})")
        labelling = Labelling(
            model.classes, self.categories, how.partial, how.complete, how.absent, how.fill_score, how.ignore_score
        )
        columns = tuple(class_columns(model).tolist())
        return Reading(labelling, columns, part=part, annotations=how.annotations, images=how.images)


def reader_of(folder: Path, config: DataConfig) -> tuple[str, Reader] | None:
    """Name and reader of the data in a folder: as the recipe says, else by what lies there; None where nothing does."""
    named = config.of(folder).format
    if named:
        return named, READERS[named]
    return next(((name, reader) for name, reader in READERS.items() if reader.recognises(folder)), None)


def find_sets(paths: Sequence[Path], config: DataConfig) -> list[Path]:
    """The data sets among ``paths`` and right below them.

    Raises:
        ValueError: a path holds none.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: no such folder or file")
        if reader_of(path, config):
            found.append(path)
            continue
        below = [folder for folder in sorted(path.glob("*/")) if reader_of(folder, config)]
        if not below:
            raise ValueError(
                f"{path}: no data set that is known by its files, neither it nor a folder right below it; "
                "docs/data.md shows how each is laid out, and a recipe's data.sets may name its `format`"
            )
        found += below
    return found


def load_sets(
    folders: Sequence[Path], model: ModelConfig, config: DataConfig, frames: tuple[int, int] | None = None
) -> list[SampleSet]:
    """All folders as sets to train on, one a sequence; of what is divided into parts the part ``train``.

    What was odd in them is told on stderr.

    Args:
        folders: of :func:`find_sets`.
        model: the network's classes and input size, into which larger images are scaled.
        config: how the data are used.
        frames: of sequences, where ``config`` does not say.

    Raises:
        ValueError: a folder is no data set, or is broken, or there is no object in any.
    """
    sets: list[SampleSet] = []
    odd: Counter[str] = Counter()
    with tqdm(folders, desc="reading", unit="set") as bar:  # closed before an error is printed
        for folder in bar:
            how = config.of(folder)
            reading = replace(
                config.reading(folder, model, "train"),
                largest=model.input_size,
                frames=how.frames or (None if how.half else frames),
                half=how.half,
            )
            recordings, found = known_reader(folder, config)[1].read(folder, reading)
            odd.update({f"{folder}: {what}": count for what, count in found.items()})
            repeats = repeat_factors(recordings, how.repeat_below) if how.repeat_below else [None] * len(recordings)
            sets += [
                SampleSet(
                    part.samples, part.still, how.weight, how.scale_range, how.mosaic, how.mixup, part.path, factors
                )
                for part, factors in zip(recordings, repeats, strict=True)
            ]
    tell(odd)
    _tell_missing(sets, model.classes)
    return sets


def _tell_missing(sets: Sequence[SampleSet], classes: Sequence[str]) -> None:
    """Say on stderr of which classes there is no object at all, or the first of many such.

    Raises:
        ValueError: of none there is any.
    """
    shown = {label for part in sets for sample in part.samples for label in sample.objects.labels.tolist()}
    missing = [name for label, name in enumerate(classes) if label not in shown]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        if len(missing) == len(classes):
            raise ValueError(f"no object of class {named} in the data: there is nothing to learn")
        print(f"qdtrack: warning: no object of class {named} in the data: none is learned", file=sys.stderr)


def repeat_factors(recordings: Sequence[Recording], below: float) -> list[Array]:
    """How often each image of a data set is drawn, relative to one of frequent classes alone.

    A class that a part f of all images show has the factor max(1, sqrt(below / f)), an image the largest of its
    classes' (Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", 2019).
    """
    shown = [[set(s.objects.labels.tolist()) - {IGNORED} for s in part.samples] for part in recordings]
    images = Counter(label for part in shown for labels in part for label in labels)
    total = sum(map(len, shown))
    factors = {label: max(1.0, math.sqrt(below * total / count)) for label, count in images.items()}
    return [np.array([max((factors[i] for i in labels), default=1.0) for labels in part]) for part in shown]


def known_reader(folder: Path, config: DataConfig) -> tuple[str, Reader]:
    """As :func:`reader_of`, for a folder that is a data set.

    Raises:
        ValueError: it is none.
    """
    found = reader_of(folder, config)
    if found is None:
        raise ValueError(f"{folder}: no data set that is known by its files")
    return found


def tell(odd: Counter[str]) -> None:
    """Say on stderr what was odd in data that can be used all the same."""
    for what, count in odd.items():
        print(f"qdtrack: warning: {what} ({count})", file=sys.stderr)
