"""YOLO folders (https://docs.ultralytics.com/datasets/detect): stills with a text file each.

``data.yaml`` names the classes and where the images of each part are; labels lie where ``images`` is replaced by
``labels`` in the path, with ``.txt``. A row is class, and the box's centre x, centre y, width and height as parts of
the image's, or the points of an outline, whose box is taken. An image without a file shows nothing.
Without ``data.yaml`` the classes are the lines of ``classes.txt``, the images all below ``images/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qdtrack_model.config import read_yaml
from qdtrack_model.data.images import IMAGE_SUFFIXES, image_size, natural
from qdtrack_model.data.readers.jde import relative_box
from qdtrack_model.data.reading import Annotations, DataError, Odd, Reading, Recording, numbers, read_cells, whole
from qdtrack_model.data.samples import StoredImage

DESCRIPTION, CLASSES = "data.yaml", "classes.txt"


def recognises(folder: Path) -> bool:
    """Whether a folder describes its classes in one of the two ways."""
    return (folder / DESCRIPTION).is_file() or ((folder / CLASSES).is_file() and (folder / "images").is_dir())


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The stills of the parts asked for.

    Raises:
        DataError, ConfigError: a file is missing or broken, or there are no images.
    """
    names, places, keypoints = _describe(folder, reading)
    annotations, samples = Annotations(reading.labelling, odd := Odd()), []
    incomplete = reading.labelling.incomplete(names.values(), names.values())
    for path in sorted({image for place in places for image in _images(place)}, key=lambda p: (p.parent, natural(p))):
        size = image_size(path) if path.is_file() else None
        if size is None:
            odd["images missing, or that cannot be decoded: left out"] += 1
            continue
        file = _label_file(path)
        for where, cells in read_cells(file, 5) if file.is_file() else ():
            kind = whole(cells[0], where)
            if kind not in names:
                raise DataError(f"{where}: class is {kind}, expected one of {', '.join(map(str, names))}")
            box = cells[1:5] if keypoints or len(cells) == 5 else _outline(cells[1:], where)
            annotations.add(path, names[kind], relative_box(box, size, where), (path, where))
        samples.append(StoredImage(path, annotations.objects(path, incomplete), reading.largest, size))
    if not samples:
        raise DataError(f"{folder}: no images in {' or '.join(map(str, places)) or 'any part'}")
    return [Recording(folder.name, samples, folder, still=True)], odd


def _describe(folder: Path, reading: Reading) -> tuple[dict[int, str], list[Path], bool]:
    """Names of the classes, folders or lists of the images wanted, and whether rows end in keypoints."""
    file = folder / (reading.annotations or DESCRIPTION)
    if not file.is_file():
        lines = (folder / CLASSES).read_text(encoding="utf-8").splitlines()
        return dict(enumerate(line.strip() for line in lines)), [folder / (reading.images or "images")], False
    content = read_yaml(file)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(key, int) for key in names):
        raise DataError(f"{file}: names is {names!r}, expected a list of classes, or a mapping of numbers to classes")
    parts = ("train", "val") if reading.part == "all" else (reading.part,)
    places = [_place(folder, content, text) for part in parts for text in _texts(content.get(part), f"{file}: {part}")]
    return {key: str(name) for key, name in names.items()}, places, "kpt_shape" in content


def _texts(value: Any, where: str) -> list[str]:
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where} is {value!r}, expected a folder or a list of them")
    return texts


def _place(folder: Path, content: dict[str, Any], text: str) -> Path:
    """Where a part is: below ``path`` or beside the description; exports often put a ``../`` too much before it."""
    roots = [folder / str(content.get("path") or "."), folder]
    found = [root / name for root in roots for name in (text, text.removeprefix("../"))]
    return next((place for place in found if place.exists()), folder / text)


def _images(place: Path) -> Iterator[Path]:
    """The images below a folder, or those that a list names, relative to where it lies."""
    if place.suffix == ".txt":
        lines = (line.strip() for line in place.read_text(encoding="utf-8").splitlines())
        yield from (place.parent / line for line in lines if line)
    elif place.is_dir():
        yield from (path for path in place.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _label_file(image: Path) -> Path:
    parts = list(image.with_suffix(".txt").parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts)


def _outline(cells: list[str], where: str) -> list[str]:
    """Centre and size, as texts, of the box around the points of an outline."""
    if len(cells) < 6 or len(cells) % 2:
        raise DataError(f"{where}: got {len(cells) + 1} columns, expected class and box, or class and points")
    values = numbers(cells, where)
    (x1, x2), (y1, y2) = ((min(side), max(side)) for side in (values[::2], values[1::2]))
    return [str(value) for value in ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)]
