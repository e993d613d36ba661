"""The format of JDE and FairMOT: for each image below ``images/`` a text file below ``labels_with_ids/``.

A row is class, identity, and the box's centre x, centre y, width and height as parts of the image's; identity -1 is
unknown. The only class of these sets, 0, is people; others go by their number. Images in one folder are a sequence
where neighbours mostly show the same identities, else stills (CityPersons, CUHK-SYSU ...).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from qdtrack_model.data.images import image_files, image_size
from qdtrack_model.data.reading import Annotations, DataError, Odd, Reading, Recording, numbers, read_cells, whole
from qdtrack_model.data.samples import StoredImage

LABELS, IMAGES = "labels_with_ids", "images"


def recognises(folder: Path) -> bool:
    """Whether a folder has labels of this kind."""
    return (folder / LABELS).is_dir()


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """All folders of images that have labels: what is to be learned of them is not divided.

    Raises:
        DataError: a file is broken, or no image has labels.
    """
    labels, images, odd = folder / (reading.annotations or LABELS), folder / (reading.images or IMAGES), Odd()
    places = sorted({path.parent.relative_to(labels) for path in labels.rglob("*.txt")})
    recordings = [
        _read_folder(labels / place, images / place, place.as_posix(), reading, odd)
        for place in places
        if (images / place).is_dir()
    ]
    if not recordings:
        raise DataError(f"{folder}: no folder of images in {images} with labels in {labels}")
    return recordings, odd


def _read_folder(labels: Path, images: Path, name: str, reading: Reading, odd: Odd) -> Recording:
    person = reading.labelling.known("0", "pedestrian", "person")
    annotations, sizes, shown = Annotations(reading.labelling, odd), {}, []
    categories = {person}
    for path in image_files(images):
        size = image_size(path)
        if size is None:
            odd["images that cannot be decoded: left out"] += 1
            continue
        sizes[path], identities = size, set()
        file = labels / f"{path.stem}.txt"  # an image without one shows nobody
        for where, cells in read_cells(file, 6) if file.is_file() else ():
            kind, identity = whole(cells[0], where), whole(cells[1], where)
            category, known = person if kind == 0 else str(kind), identity if identity >= 0 else None
            annotations.add(path, category, relative_box(cells[2:6], size, where), known)
            categories.add(category)
            identities.add(known)
        shown.append(identities - {None})
    if not sizes:
        raise DataError(f"{images}: no image that can be read")
    incomplete = reading.labelling.incomplete(categories, categories)
    samples = [
        StoredImage(path, annotations.objects(path, incomplete), reading.largest, size) for path, size in sizes.items()
    ]
    still = not _is_sequence(shown)
    return Recording(name, samples if still else reading.chosen(samples), images, still)


def relative_box(cells: list[str], size: tuple[int, int], where: str) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 in pixels of centre x, centre y, width and height as parts of the image's ``size``; its edges may be
    beyond the image.

    Raises:
        DataError: a value is no number, or far outside of 0..1.
    """
    values = numbers(cells, where)
    for name, value in zip(("x", "y", "width", "height"), values, strict=True):
        if not -0.5 <= value <= 2:
            raise DataError(f"{where}: {name} is {value:g}, expected a part of the image's size, not pixels")
    x, y, width, height = values
    across, down = size
    return ((x - width / 2) * across, (y - height / 2) * down, (x + width / 2) * across, (y + height / 2) * down)


def _is_sequence(shown: list[set[int | None]]) -> bool:
    """Whether most images that show a known identity have one in common with the next."""
    pairs = [bool(one & two) for one, two in pairwise(shown) if one or two]
    return sum(pairs) * 2 > len(pairs)
