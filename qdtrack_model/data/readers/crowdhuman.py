"""CrowdHuman (https://www.crowdhuman.org): people in stills, a JSON object a line in ``annotation_*.odgt``.

A person has three boxes (left, top, width, height): ``fbox`` of the whole body, also where it is hidden or beyond the
image, which is what is learned; ``vbox`` and ``hbox``, of what is visible and of the head, are not read. What is marked
``extra.ignore``, or is no ``person`` (``mask``: statues, pictures, crowds), is ignored.
"""

from __future__ import annotations

import json
from pathlib import Path

from qdtrack_model.data.documents import DocumentError, Node
from qdtrack_model.data.reading import Annotations, DataError, Odd, Reading, Recording
from qdtrack_model.data.samples import StoredImage

FILES = {"train": "annotation_train.odgt", "val": "annotation_val.odgt"}
FOLDERS = ("Images", "{part}/Images", "{part}", "CrowdHuman_{part}/Images", "images")


def recognises(folder: Path) -> bool:
    """Whether a folder has one of the two annotation files."""
    return any((folder / name).is_file() for name in FILES.values())


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The stills of the parts asked for.

    Raises:
        DocumentError, DataError: a file is missing or broken, or none of its images is there.
    """
    odd, samples = Odd(), []
    for part, name in FILES.items():
        file = folder / (reading.annotations or name)
        if reading.part in ("all", part) and (reading.part == part or file.is_file()):
            samples += _read_part(folder, file, part, reading, odd)
    return [Recording(folder.name, samples, folder, still=True)], odd


def _read_part(folder: Path, file: Path, part: str, reading: Reading, odd: Odd) -> list[StoredImage]:
    names = (reading.images,) if reading.images else tuple(name.format(part=part) for name in FOLDERS)
    folders = [folder / name for name in names if (folder / name).is_dir()]
    person = reading.labelling.known("person", "pedestrian")
    incomplete = reading.labelling.incomplete([person], [person])
    annotations, found = Annotations(reading.labelling, odd), []
    for entry in _lines(file):
        name = f"{entry['ID'].text()}.jpg"
        if Path(name).name != name:
            raise entry["ID"].error("the name of an image")
        path = next((below / name for below in folders if (below / name).is_file()), None)
        if path is None:
            odd["image files missing: left out"] += 1
            continue
        for number, person_node in enumerate(entry["gtboxes"]):
            _add(annotations, name, number, person, person_node)
        found.append(StoredImage(path, annotations.objects(name, incomplete), reading.largest))
    if not found:
        raise DataError(f"{file}: none of its images is in {' or '.join(names)} below {folder}")
    return found


def _add(annotations: Annotations, image: str, number: int, person: str, node: Node) -> None:
    box = [value.number() for value in node["fbox"]]
    if len(box) != 4:
        raise node["fbox"].error("left, top, width, height")
    left, top, width, height = box
    extra = node.get("extra")
    mark = extra.get("ignore") if extra else None
    ignored = node["tag"].text() != "person" or (mark is not None and mark.number() == 1)
    # Whoever is in a picture is somebody else than everybody in all others.
    annotations.add(image, person, (left, top, left + width, top + height), (image, number), ignored)


def _lines(file: Path) -> list[Node]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DocumentError(f"{file}: cannot be read: {reason}") from None
    nodes = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                nodes.append(Node(json.loads(line), f"{file}, line {number}"))
            except (json.JSONDecodeError, RecursionError) as error:
                raise DocumentError(f"{file}, line {number}: not JSON: {str(error)[:80]}") from None
    return nodes
