"""LVIS v0.5 (https://www.lvisdataset.org): a list of boxes, each with its image, its class and its score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qdtrack_model.data.documents import read_json
from qdtrack_model.data.readers.lvis import FILE, annotation_file, image_name, image_roots
from qdtrack_model.data.reading import find_below
from qdtrack_model.data.writers import JsonList, WriterError
from qdtrack_model.data.writers.tao import category_ids
from qdtrack_model.structures import Detections


class LvisWriter:
    """Writes a JSON file.

    Args:
        data: the data set: ``lvis_v0.5_val.json`` and its like, with the images of COCO 2017.
        part: train or val.
        output: the file.
        classes: of the network; those that the data set does not know are left out.

    Attributes:
        images: the file of each image by its id.

    Raises:
        DocumentError: the annotations are broken, or an image is missing.
        WriterError: there are none, or no class is the data set's.
    """

    def __init__(self, data: Path, part: str, output: Path, classes: Sequence[str]) -> None:
        file = annotation_file(data, part)
        if not file.is_file():
            raise WriterError(f"{data}: expected {FILE.format(part)} in it for the part {part}")
        document = read_json(file)
        self._categories, self._output = category_ids(document, classes), output
        images: dict[int, Path] = {}
        for node in document["images"]:
            path = find_below(data, image_roots(data, part), image_name(node))
            if path is None or not path.is_file():
                raise node["id"].error(f"the id of an image in {image_roots(data, part)[0]}")
            images[node["id"].integer()] = path
        self.images: Mapping[int, Path] = images

    def write(self, results: Iterable[tuple[int, Detections]]) -> None:
        """Write the boxes of images by their ids, as they come."""
        with JsonList(self._output) as rows:
            for image, found in results:
                columns = (found.labels.tolist(), found.scores.tolist(), found.boxes.tolist())
                for label, score, (x1, y1, x2, y2) in zip(*columns, strict=True):
                    if label in self._categories:
                        box = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
                        category = self._categories[label]
                        rows.add({"image_id": image, "category_id": category, "score": round(score, 6), "bbox": box})
