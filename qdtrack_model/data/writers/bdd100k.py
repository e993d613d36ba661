"""BDD100K's box tracking (https://doc.bdd100k.com): one list of the frames of all videos, in Scalabel's format.

Right and lower edges are inclusive, as in its labels (``readers/bdd100k.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qdtrack_model.data.images import image_files
from qdtrack_model.data.readers.bdd100k import CLASSES, FRAME_RATE
from qdtrack_model.data.sources import ImageFolderSource
from qdtrack_model.data.writers import JsonList, Video, WriterError, part_folder
from qdtrack_model.structures import Tracks


class BddWriter:
    """Writes a JSON file.

    Args:
        data: the data set, whose images are in ``images/track/PART/VIDEO/``.
        part: train, val or test.
        output: the file.
        classes: of the network, all of them BDD100K's.

    Raises:
        WriterError: no video is there, or a class is none of BDD100K's.
    """

    def __init__(self, data: Path, part: str, output: Path, classes: Sequence[str]) -> None:
        unknown = [name for name in classes if name not in CLASSES]
        if unknown:
            raise WriterError(f"BDD100K has no class {unknown[0]!r}; its classes: {', '.join(CLASSES)}")
        folders = sorted(part_folder(data, part, f"images/track/{part}").glob("*/"))
        files = {folder.name: image_files(folder) for folder in folders}
        self.videos: Sequence[Video] = [
            Video(
                name,
                ImageFolderSource(name, images, list(range(1, len(images) + 1)), frame_rate=FRAME_RATE),
                {index: image.name for index, image in enumerate(images, start=1)},
            )
            for name, images in files.items()
            if images
        ]
        if not self.videos:
            raise WriterError(f"{data}: no videos in images/track/{part}")
        self._output, self._classes = output, classes

    def write(self, results: Iterable[tuple[Video, Mapping[int, Tracks]]]) -> None:
        """Write the frames of all videos; those without a track, too, for the official code misses them."""
        with JsonList(self._output) as rows:
            for video, tracks in results:
                for index, name in video.frames.items():
                    labels = self._labels(tracks[index]) if index in tracks else []
                    rows.add({"videoName": video.name, "name": name, "frameIndex": index - 1, "labels": labels})

    def _labels(self, tracks: Tracks) -> list[dict[str, Any]]:
        return [
            {
                "id": str(identity + 1),
                "category": self._classes[label],
                "score": round(score, 4),
                "box2d": dict(zip(("x1", "y1", "x2", "y2"), (x1, y1, x2 - 1, y2 - 1), strict=True)),
            }
            for identity, label, score, (x1, y1, x2, y2) in zip(
                tracks.ids.tolist(), tracks.labels.tolist(), tracks.scores.tolist(), tracks.boxes.tolist(), strict=True
            )
        ]
