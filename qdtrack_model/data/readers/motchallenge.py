"""MOTChallenge 2015, 16, 17, 20, DanceTrack and the synthetic street: sequences as folders.

A sequence holds ``gt/gt.txt`` and images in ``img1/``, or one video, beside ``seqinfo.ini`` (``mot.py``). Confidence 0
and classes that are none of the network's are ignored. Boxes reach beyond the image as they stand there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qdtrack_model.data.readers.mot import MOT_CLASSES, MotBoxes, MotError, read_mot, read_seqinfo
from qdtrack_model.data.reading import Odd, Reading, Recording
from qdtrack_model.data.samples import IGNORED, LabelledImage, Objects, Sample, StoredImage
from qdtrack_model.data.sources import DEFAULT_FRAME_RATE, ImageFolderSource, open_source
from qdtrack_model.structures import Array


def recognises(folder: Path) -> bool:
    """Whether a folder is a sequence with ground truth."""
    return (folder / "gt" / "gt.txt").is_file()


def sequences(folder: Path) -> list[Path]:
    """A sequence itself, or those right below a folder."""
    return [folder] if recognises(folder) else sorted(path for path in folder.glob("*/") if recognises(path))


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The sequence, or the sequences right below a folder.

    Raises:
        SourceError, MotError: images or ``gt/gt.txt`` are missing or broken, or nothing is labelled.
    """
    found = sequences(folder)
    if not found:
        raise MotError(f"{folder}: expected gt/gt.txt in it or in the folders below it")
    return [read_sequence(path, reading) for path in found], Odd()


def truth_labels(truth: MotBoxes, columns: Sequence[int] | Array) -> Array:
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


def sequence_length(folder: Path, truth: MotBoxes) -> int:
    """The number of frames as ``seqinfo.ini`` has it, or else as far as ground truth goes."""
    if (folder / "seqinfo.ini").is_file():
        return read_seqinfo(folder).length
    return int(truth.frames.max())


def read_sequence(folder: Path, reading: Reading) -> Recording:
    """One sequence. Images in files stay there until they are read; those of a video are kept in memory.

    Raises:
        SourceError, MotError: images or ``gt/gt.txt`` are missing or broken, or nothing is labelled.
    """
    truth = read_mot(folder / "gt" / "gt.txt")
    if not len(truth):
        raise MotError(f"{folder / 'gt' / 'gt.txt'}: expected at least one box")
    length = sequence_length(folder, truth) if reading.half else int(truth.frames.max())
    (first, last), largest = reading.span(length), reading.largest
    labels = truth_labels(truth, reading.columns)

    def objects(frame: int) -> Objects:
        rows = truth.frames == frame
        return Objects(truth.boxes[rows], truth.ids[rows], labels[rows])

    samples: list[Sample] = []
    with open_source(folder) as source:
        rate = source.frame_rate or DEFAULT_FRAME_RATE
        if isinstance(source, ImageFolderSource):
            numbered = zip(source.files, source.indices, strict=True)
            samples += [StoredImage(path, objects(i), largest) for path, i in numbered if first <= i <= last]
        else:
            for frame in source:
                if frame.index > last:
                    break
                if frame.index >= first:
                    image = LabelledImage(frame.image, objects(frame.index))
                    samples.append(image.fitted(largest) if largest else image)
    if not any((sample.objects.labels >= 0).any() for sample in samples):
        wanted = zip(reading.labelling.classes, reading.columns, strict=True)
        names = ", ".join(f"{name} ({column})" for name, column in wanted)
        raise MotError(f"{folder}: no object of class {names} in frames {first}-{last}")
    return Recording(folder.name, samples, folder, frame_rate=rate)
