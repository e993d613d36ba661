"""What weights are judged by: stills and sequences, or the frames of them, that training does not see."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qdtrack_model.config import ModelConfig
from qdtrack_model.data.loading import DataConfig, SetConfig, known_reader, tell
from qdtrack_model.data.readers.mot import IGNORED_CLASS, MotBoxes, MotError, join, read_mot
from qdtrack_model.data.readers.motchallenge import sequence_length, sequences, truth_labels
from qdtrack_model.data.reading import Reading, Recording
from qdtrack_model.data.samples import Sample, SampleSet
from qdtrack_model.data.sources import Frame, Source, open_source
from qdtrack_model.structures import Array


class SampleSource(Source):
    """The images of a recording, frames counted from 1."""

    def __init__(self, recording: Recording) -> None:
        self.name, self.frame_rate, self.length = recording.name, recording.frame_rate, len(recording.samples)
        self._samples = recording.samples

    def __iter__(self) -> Iterator[Frame]:
        assert self.frame_rate is not None
        for index, sample in enumerate(self._samples, start=1):
            yield Frame(index, (index - 1) / self.frame_rate, sample.read().image)


@dataclass(frozen=True, eq=False)
class HeldOutSequence:
    """A sequence and the stretches of it that are tracked and scored, each for itself.

    Args:
        images: opens the images.
        stretches: first and last frame number of each.
        truth: ground truth in class columns; what is of none of the network's classes has confidence 0.
        columns: the classes that have ground truth at all; of others objects may be there without a box.
    """

    images: Callable[[], Source]
    stretches: Sequence[tuple[int, int]]
    truth: MotBoxes
    columns: Array


@dataclass(frozen=True)
class HeldOut:
    """Everything that weights are judged by, each under a name of its own."""

    stills: dict[str, Sequence[Sample]] = field(default_factory=dict)
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
    trained: Sequence[SampleSet] = (),
    frames: tuple[int, int] | None = None,
) -> HeldOut:
    """All folders as what weights are judged by. What was odd in them is told on stderr.

    Of what is divided into parts that is the part ``val``; of a sequence the frames that the recipe's ``frames`` or
    ``half`` leave, or all of it.

    Args:
        folders: of :func:`qdtrack_model.data.loading.find_sets`.
        model: the network's classes.
        config: how the data are used.
        trained: what a training learns from.
        frames: of sequences among these, the first and the last one that is learned, where ``config`` does not say.

    Raises:
        ValueError: a folder is broken, holds nothing to be judged by, or something in it is also trained on.
    """
    held_out, odd, names = HeldOut(), Counter[str](), _names(folders)
    origins = {part.origin.resolve() for part in trained if part.origin}
    images = {getattr(sample, "path", None) for part in trained if part.still for sample in part.samples} - {None}

    def taken(path: Path, how: SetConfig) -> Reading:
        """Which frames of a sequence are trained on, as a reading."""
        learned = path.resolve() in origins
        found = Reading(config.reading(path, model, "val").labelling, frames=how.frames, half=how.half)
        found = replace(found, frames=frames) if learned and not (how.frames or how.half) else found
        if learned and not (found.frames or found.half):
            raise ValueError(f"{path}: all of it is trained on; leave some by `frames` in the recipe")
        return found

    with tqdm(folders, desc="reading", unit="set") as bar:  # closed before an error is printed
        for folder in bar:
            kind, reader = known_reader(folder, config)
            reading = config.reading(folder, model, "val")
            if kind == "motchallenge":  # whose images need not be read into memory, even those of a video
                for path in sequences(folder):
                    name = names[folder] if path == folder else f"{names[folder]}/{path.name}"
                    held_out.sequences[name] = mot_sequence(path, reading, taken(path, config.of(path)))
                continue
            recordings, found = reader.read(folder, reading)
            odd.update({f"{folder}: {what}": count for what, count in found.items()})
            for part in recordings:
                name = names[folder] if len(recordings) == 1 else f"{names[folder]}/{part.name}"
                if not part.still:
                    held_out.sequences[name] = recorded_sequence(part, reading, taken(part.path, config.of(folder)))
                elif images & {getattr(sample, "path", None) for sample in part.samples}:
                    raise ValueError(f"{folder}: all of it is trained on; give each image a `split`, train or val")
                else:
                    held_out.stills[name] = part.samples
    tell(odd)
    return held_out


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The name of each folder, with that of the one above where several are called the same."""
    paths = {folder: folder.resolve() for folder in folders}
    counts = Counter(path.name for path in paths.values())
    names = {f: p.name if counts[p.name] == 1 else f"{p.parent.name}/{p.name}" for f, p in paths.items()}
    if len(set(names.values())) < len(names):
        raise ValueError(f"{', '.join(map(str, folders))}: expected folders of different names")
    return names


def mot_sequence(folder: Path, reading: Reading, taken: Reading) -> HeldOutSequence:
    """The frames of a MOTChallenge sequence before and after those that are ``taken`` by training.

    Raises:
        MotError: ``gt/gt.txt`` is broken, or nothing of the network's classes is scored in these frames.
    """
    truth = read_mot(folder / "gt" / "gt.txt")
    labels = truth_labels(truth, reading.columns)
    last = int(truth.frames.max(initial=0))
    trained = taken.span(sequence_length(folder, truth)) if taken.frames or taken.half else None
    return _sequence(truth, labels, last, trained, reading, lambda: open_source(folder), folder)


def recorded_sequence(recording: Recording, reading: Reading, taken: Reading) -> HeldOutSequence:
    """The same of a sequence of any other data set; objects of unknown identity are not scored."""
    parts, labels = [], []
    for frame, sample in enumerate(recording.samples, start=1):
        found = sample.objects
        columns = [np.full(len(found.ids), value) for value in (frame, 1.0, -1)]
        parts.append(MotBoxes(columns[0], found.ids, found.boxes, columns[1], columns[2], columns[2]))
        labels.append(np.where(found.ids < 0, -1, found.labels))
    length = len(recording.samples)
    trained = taken.span(length) if taken.frames or taken.half else None
    truth, label = join(parts), np.concatenate([np.zeros(0, np.int64), *labels])
    return _sequence(truth, label, length, trained, reading, lambda: SampleSource(recording), recording.path)


def _sequence(
    truth: MotBoxes,
    labels: Array,
    last: int,
    trained: tuple[int, int] | None,
    reading: Reading,
    images: Callable[[], Source],
    where: Path,
) -> HeldOutSequence:
    """Frames 1 to ``last`` but for those trained on, with the class index of each box, below 0 for what is ignored."""
    columns = np.array(reading.columns)
    classes = np.where(labels >= 0, columns[labels], IGNORED_CLASS)
    truth = replace(truth, classes=classes, confidences=(labels >= 0).astype(float))
    stretches = [(1, trained[0] - 1), (trained[1] + 1, last)] if trained else [(1, last)]
    scored = [stretch for stretch in stretches if truth.between(*stretch).confidences.any()]
    if not scored:
        names, beside = ", ".join(reading.labelling.classes), f" beside {trained[0]}-{trained[1]}" if trained else ""
        raise MotError(f"{where}: no object of class {names} in its frames 1-{last}{beside}")
    return HeldOutSequence(images, scored, truth, np.unique(classes[labels >= 0]))
