"""Folders of data as sets of samples: MOTChallenge sequences, and stills in COCO form."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdtrack_model.config import ConfigError, ModelConfig, require
from qdtrack_model.data.readers.coco import ANNOTATIONS, Labelling, find_annotations, read_coco
from qdtrack_model.data.readers.mot import MOT_CLASSES, MotBoxes, MotError, class_columns, read_mot
from qdtrack_model.data.samples import IGNORED, LabelledImage, Objects, Sample, SampleSet, StoredImage
from qdtrack_model.data.sources import ImageFolderSource, open_source
from qdtrack_model.structures import Array


@dataclass(frozen=True)
class SetConfig:
    """How the data in one folder are used."""

    weight: float = 1.0  # how often an image is drawn, relative to those of other sets
    scale_range: tuple[float, float] | None = None  # of crops; None: that of all pairs
    frames: tuple[int, int] | None = None  # of sequences: first and last one to train on; validation has the others
    # Of stills: the part of the pairs that are mosaics, and how their labels are read (`data/readers/coco.py`).
    mosaic: float = 0.0
    partial: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    fill_score: float = 0.5

    def __post_init__(self) -> None:
        require(self.weight > 0, "weight", self.weight, "a positive number")
        require(0 <= self.mosaic <= 1, "mosaic", self.mosaic, "a number in [0, 1]")
        require(0 < self.fill_score <= 1, "fill_score", self.fill_score, "a number in (0, 1]")
        if self.scale_range is not None:
            require(0 < self.scale_range[0] <= self.scale_range[1], "scale_range", self.scale_range, "0 < low <= high")


@dataclass(frozen=True)
class DataConfig:
    """What data sets call the classes of a network, and how each set is used."""

    # Names in the sets by class; objects of those under `ignored` are neither learned nor punished. A class that is
    # not named here goes by its own name.
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, SetConfig] = field(default_factory=dict)  # by name of the folder, or of the one above it
    others: SetConfig = field(default_factory=SetConfig)  # those that are not named

    def of(self, folder: Path) -> SetConfig:
        """How the data in a folder are used."""
        folder = folder.resolve()
        return self.sets.get(folder.name) or self.sets.get(folder.parent.name) or self.others

    def labelling(self, folder: Path, classes: tuple[str, ...]) -> Labelling:
        """How the categories of the stills in a folder become classes.

        Raises:
            ConfigError: the recipe names a class that the network does not have.
        """
        how = self.of(folder)
        for name in (*self.categories, *how.partial, *how.complete, *how.absent):
            if name not in (*classes, "ignored"):
                raise ConfigError(f"data: {name!r} is none of the model's classes ({', '.join(classes)})")
        return Labelling(classes, self.categories, how.partial, how.complete, how.absent, how.fill_score)


def is_sequence(folder: Path) -> bool:
    """Whether a folder is a MOTChallenge sequence with ground truth."""
    return (folder / "gt" / "gt.txt").is_file()


def find_sets(paths: Sequence[Path]) -> list[Path]:
    """The sequences and sets of stills among ``paths`` and right below them.

    Raises:
        ValueError: a path holds none.
    """
    found = []
    for path in paths:
        below = [path, *sorted(path.glob("*/"))]
        data = [folder for folder in below if is_sequence(folder) or find_annotations(folder)]
        if not data:
            raise ValueError(f"{path}: no gt/gt.txt and no {' or '.join(ANNOTATIONS)} in it or in the folders below it")
        found += data[:1] if data[0] == path else data
    return found


def truth_labels(truth: MotBoxes, columns: Array) -> Array:
    """Class indices of ground truth: IGNORED for what is not scored or in none of the class ``columns``.

    Where no classes are named, as in the 2015 challenge, all are people, or of the network's only class.
    """
    classes = truth.classes
    if (classes < 0).all():
        classes = np.full(len(truth), columns[0] if len(columns) == 1 else MOT_CLASSES["pedestrian"])
    labels = np.full(len(truth), IGNORED)
    for label, column in enumerate(columns):
        labels[classes == column] = label
    labels[truth.confidences == 0] = IGNORED
    return labels


def load_sequence(folder: str | Path, model: ModelConfig, frames: tuple[int, int] | None = None) -> list[Sample]:
    """The frames of a MOTChallenge folder, scaled to fit a network's input where they are larger.

    Images in files stay there until they are read; those of a video are kept in memory.

    Args:
        folder: with ``gt/gt.txt`` and images.
        model: the network's classes and input size.
        frames: first and last frame number to use; all frames that have ground truth when None.

    Raises:
        SourceError, MotError: images or ``gt/gt.txt`` are missing or broken, or nothing is labelled.
    """
    folder = Path(folder)
    truth = read_mot(folder / "gt" / "gt.txt")
    if not len(truth):
        raise MotError(f"{folder / 'gt' / 'gt.txt'}: expected at least one box")
    first, last = frames or (1, int(truth.frames.max()))
    columns, largest = class_columns(model), model.input_size
    labels = truth_labels(truth, columns)

    def objects(frame: int) -> Objects:
        rows = truth.frames == frame
        return Objects(truth.boxes[rows], truth.ids[rows], labels[rows])

    samples: list[Sample] = []
    with open_source(folder) as source:
        if isinstance(source, ImageFolderSource):
            numbered = zip(source.files, source.indices, strict=True)
            samples += [StoredImage(path, objects(i), largest) for path, i in numbered if first <= i <= last]
        else:
            for frame in source:
                if frame.index > last:
                    break
                if frame.index >= first:
                    samples.append(LabelledImage(frame.image, objects(frame.index)).fitted(largest))
    if not any((sample.objects.labels >= 0).any() for sample in samples):
        names = ", ".join(f"{name} ({column})" for name, column in zip(model.classes, columns, strict=True))
        raise MotError(f"{folder}: no object of class {names} in frames {first}-{last}")
    return samples


def load_sets(
    folders: Sequence[Path], model: ModelConfig, config: DataConfig, frames: tuple[int, int] | None = None
) -> list[SampleSet]:
    """All folders as sets to train on; of stills the part ``train`` where the images say their part.

    What was odd in them is told on stderr.

    Args:
        folders: of :func:`find_sets`.
        model: the network's classes and input size, into which larger images are scaled.
        config: how the data are used.
        frames: of sequences, where ``config`` does not say.
    """
    sets: list[SampleSet] = []
    odd: Counter[str] = Counter()
    with tqdm(folders, desc="reading", unit="set") as bar:  # closed before an error is printed
        for folder in bar:
            how, still = config.of(folder), not is_sequence(folder)
            samples: Sequence[Sample]
            if still:
                samples, found = read_coco(folder, config.labelling(folder, model.classes), model.input_size, "train")
                odd.update({f"{folder}: {what}": count for what, count in found.items()})
            else:
                samples = load_sequence(folder, model, how.frames or frames)
            sets.append(SampleSet(samples, still, how.weight, how.scale_range, how.mosaic))
    for what, count in odd.items():
        print(f"qdtrack: warning: {what} ({count})", file=sys.stderr)
    return sets
