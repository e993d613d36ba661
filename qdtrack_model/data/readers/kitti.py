"""KITTI tracking (https://www.cvlibs.net/datasets/kitti): sequences of a car's left camera at 10 frames a second.

A row of ``label_02/SEQUENCE.txt`` is frame, track id, type, truncation, occlusion, angle, left, top, right, bottom, and
what is not read here: size, place and angle in space. Frames and ids count from 0. ``DontCare`` are regions in which
objects have no box: they are ignored.
"""

from __future__ import annotations

from pathlib import Path

from qdtrack_model.data.images import image_files
from qdtrack_model.data.reading import Annotations, DataError, Odd, Reading, Recording, numbers, read_cells, whole
from qdtrack_model.data.samples import StoredImage

LABELS, IMAGES = "label_02", "image_02"
TYPES = ("Car", "Van", "Truck", "Pedestrian", "Person", "Cyclist", "Tram", "Misc")
DONT_CARE = "DontCare"
RENAMED = {"Person_sitting": "Person"}  # as the data set's description calls them, and as its files do
FRAME_RATE = 10.0


def recognises(folder: Path) -> bool:
    """Whether a folder is the data set's ``training``, or has it in it."""
    return any((root / LABELS).is_dir() for root in (folder, folder / "training"))


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """All sequences: the data set is not divided.

    Raises:
        DataError: a file is broken, or a sequence has no images.
    """
    root = folder if (folder / LABELS).is_dir() else folder / "training"
    labels, images = root / (reading.annotations or LABELS), root / (reading.images or IMAGES)
    files = sorted(labels.glob("*.txt"))
    if not files:
        raise DataError(f"{labels}: expected a file SEQUENCE.txt for each sequence")
    odd = Odd()
    return [_read_sequence(file, images / file.stem, reading, odd) for file in files], odd


def _read_sequence(file: Path, images: Path, reading: Reading, odd: Odd) -> Recording:
    annotations = Annotations(reading.labelling, odd)
    for where, cells in read_cells(file, 10):
        frame, identity, kind = whole(cells[0], where), whole(cells[1], where), RENAMED.get(cells[2], cells[2])
        if kind not in (*TYPES, DONT_CARE):
            raise DataError(f"{where}: type is {kind!r}, expected one of {', '.join((*TYPES, DONT_CARE))}")
        x1, y1, x2, y2 = numbers(cells[6:10], where)
        known = identity if identity >= 0 else None
        annotations.add(frame, kind, (x1, y1, x2, y2), known, ignored=kind == DONT_CARE)
    incomplete = reading.labelling.incomplete(TYPES, TYPES)
    paths = image_files(images) if images.is_dir() else []
    for path in paths:
        if not path.stem.isdecimal():
            raise DataError(f"{path}: expected an image named by its frame, such as 000000.png")
    if not paths:
        raise DataError(f"{images}: no images of sequence {file.stem}")
    samples = [StoredImage(path, annotations.objects(int(path.stem), incomplete), reading.largest) for path in paths]
    return Recording(file.stem, reading.chosen(samples), images, frame_rate=FRAME_RATE)
