"""What weights are judged by: stills and sequences, or the frames of them, that training does not see."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdtrack_model.config import ModelConfig
from qdtrack_model.data.loading import DataConfig, is_sequence, truth_labels
from qdtrack_model.data.readers.coco import read_coco
from qdtrack_model.data.readers.mot import IGNORED_CLASS, MotBoxes, MotError, class_columns, read_mot
from qdtrack_model.data.samples import SampleSet, StoredImage
from qdtrack_model.structures import Array


@dataclass(frozen=True, eq=False)
class HeldOutSequence:
    """A sequence and the stretches of it that are tracked and scored, each for itself.

    Args:
        folder: of the images.
        stretches: first and last frame number of each.
        truth: ground truth in class columns; what is of none of the network's classes has confidence 0.
        columns: the classes that have ground truth at all; of others objects may be there without a box.
    """

    folder: Path
    stretches: Sequence[tuple[int, int]]
    truth: MotBoxes
    columns: Array


@dataclass(frozen=True)
class HeldOut:
    """Everything that weights are judged by, each under a name of its own."""

    stills: dict[str, list[StoredImage]] = field(default_factory=dict)
    sequences: dict[str, HeldOutSequence] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A hash by which other data are known."""
        digest = hashlib.sha256()
        for name, images in self.stills.items():
            digest.update(f"{name} {len(images)}".encode())
            for objects in (image.objects for image in images):
                for column in (objects.boxes, objects.labels, objects.open_labels):
                    digest.update(column.tobytes())
        for name, sequence in self.sequences.items():
            digest.update(f"{name} {sequence.stretches} {sequence.columns}".encode())
            for column in (sequence.truth.boxes, sequence.truth.ids, sequence.truth.confidences):
                digest.update(column.tobytes())
        return digest.hexdigest()


def load_held_out(
    folders: Sequence[Path],
    model: ModelConfig,
    config: DataConfig,
    trained: Mapping[Path, SampleSet] | None = None,
    frames: tuple[int, int] | None = None,
) -> HeldOut:
    """All folders as what weights are judged by. What was odd in them is told on stderr.

    Of stills that is the split ``val``, or all images where none names a split; of a sequence the frames that the
    recipe's ``frames`` leaves, or all of it.

    Args:
        folders: of :func:`qdtrack_model.data.loading.find_sets`.
        model: the network's classes.
        config: how the data are used.
        trained: what a training learns from, by folder.
        frames: of sequences among these, the first and the last one that is learned, where ``config`` does not say.

    Raises:
        ValueError: a folder is broken, holds nothing to be judged by, or something in it is also trained on.
    """
    held_out, odd, names = HeldOut(), Counter[str](), _names(folders)
    trained = {folder.resolve(): samples for folder, samples in (trained or {}).items()}
    with tqdm(folders, desc="reading", unit="set") as bar:  # closed before an error is printed
        for folder in bar:
            learned, taken = trained.get(folder.resolve()), config.of(folder).frames
            if is_sequence(folder):
                taken = taken or (frames if learned else None)
                if learned and not taken:
                    raise ValueError(f"{folder}: all of it is trained on; leave some by `frames` in the recipe")
                held_out.sequences[names[folder]] = load_held_out_sequence(folder, model, taken)
                continue
            images, found = read_coco(folder, config.labelling(folder, model.classes), part="val")
            known = {getattr(sample, "path", None) for sample in learned.samples} if learned else set()
            if any(image.path in known for image in images):
                raise ValueError(f"{folder}: all of it is trained on; give each image a `split`, train or val")
            held_out.stills[names[folder]] = images
            odd.update({f"{folder}: {what}": count for what, count in found.items()})
    for what, count in odd.items():
        print(f"qdtrack: warning: {what} ({count})", file=sys.stderr)
    return held_out


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The name of each folder, with that of the one above where several are called the same."""
    paths = {folder: folder.resolve() for folder in folders}
    counts = Counter(path.name for path in paths.values())
    names = {f: p.name if counts[p.name] == 1 else f"{p.parent.name}/{p.name}" for f, p in paths.items()}
    if len(set(names.values())) < len(names):
        raise ValueError(f"{', '.join(map(str, folders))}: expected folders of different names")
    return names


def load_held_out_sequence(folder: Path, model: ModelConfig, trained: tuple[int, int] | None) -> HeldOutSequence:
    """The frames of a MOTChallenge folder before and after those that are trained on (first, last); all where None.

    Raises:
        MotError: ``gt/gt.txt`` is broken, or nothing of the network's classes is scored in these frames.
    """
    truth, columns = read_mot(folder / "gt" / "gt.txt"), class_columns(model)
    labels = truth_labels(truth, columns)
    classes = np.where(labels >= 0, columns[labels], IGNORED_CLASS)
    truth = replace(truth, classes=classes, confidences=(labels >= 0).astype(float))
    last = int(truth.frames.max(initial=0))
    stretches = [(1, trained[0] - 1), (trained[1] + 1, last)] if trained else [(1, last)]
    scored = [stretch for stretch in stretches if truth.between(*stretch).confidences.any()]
    if not scored:
        names, beside = ", ".join(model.classes), f" beside {trained[0]}-{trained[1]}" if trained else ""
        raise MotError(f"{folder}: no object of class {names} in its frames 1-{last}{beside}")
    return HeldOutSequence(folder, scored, truth, np.unique(classes[labels >= 0]))
