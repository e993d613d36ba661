"""TAO (https://taodataset.org): a list of boxes, each with its image, its video, its track and its class.

A track has one class, of which the official code makes sure: the one in which it scores most. Ids of tracks are from 1
and of one video alone. Of an image with more boxes than MOST_BOXES the weakest are left out, as in the official code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.data.documents import Node, read_json
from qdtrack_model.data.readers.tao import FRAME_RATE
from qdtrack_model.data.reading import find_below
from qdtrack_model.data.sources import ImageFolderSource
from qdtrack_model.data.writers import JsonList, Video, WriterError, part_folder
from qdtrack_model.structures import Tracks

FILES = {"train": "train", "val": "validation", "test": "test_without_annotations"}
MOST_BOXES = 300
ALSO = {"person": "baby"}  # another name of a class in files of the data set


def category_ids(document: Node, classes: Sequence[str]) -> dict[int, int]:
    """The id in annotations of TAO or LVIS of each class that they know, by its index.

    Raises:
        WriterError: they know none.
    """
    known = {node["name"].text(): node["id"].integer() for node in document["categories"]}
    found = {
        label: known[each]
        for label, name in enumerate(classes)
        if (each := next((n for n in (name, ALSO.get(name, name)) if n in known), None))
    }
    if not found:
        raise WriterError(f"{document.place}: none of its categories is of the classes {', '.join(classes[:20])}")
    return found


class TaoWriter:
    """Writes a JSON file.

    Args:
        data: the data set: ``annotations/validation.json`` and its like, frames below ``frames/``.
        part: train, val or test.
        output: the file.
        classes: of the network; those that the data set does not know are left out.

    Raises:
        DocumentError: the annotations are broken.
        WriterError: frames are missing, or no class is the data set's.
    """

    def __init__(self, data: Path, part: str, output: Path, classes: Sequence[str]) -> None:
        document = read_json(part_folder(data, part, f"annotations/{FILES[part]}.json"))
        self._categories = category_ids(document, classes)
        images: defaultdict[int, list[tuple[int, Path, int]]] = defaultdict(list)
        for node in document["images"]:
            path = find_below(data, [data / "frames"], node["file_name"].text())
            if path is None or not path.is_file():
                raise node["file_name"].error(f"an image below {data / 'frames'}")
            images[node["video_id"].integer()].append((node["frame_index"].integer(), path, node["id"].integer()))
        videos = []
        for video, frames in images.items():
            paths, numbers = [path for _, path, _ in sorted(frames)], list(range(1, len(frames) + 1))
            identities = [identity for _, _, identity in sorted(frames)]
            source = ImageFolderSource(str(video), paths, numbers, frame_rate=FRAME_RATE)
            videos.append(Video(str(video), source, dict(zip(numbers, identities, strict=True))))
        self.videos: Sequence[Video] = videos
        self._output = output

    def write(self, results: Iterable[tuple[Video, Mapping[int, Tracks]]]) -> None:
        """Write the boxes of all videos."""
        with JsonList(self._output) as rows:
            used = 0  # ids so far
            for video, tracks in results:
                labels = _one_class(tracks.values())
                for index in sorted(tracks):
                    for row in self._rows(video, index, tracks[index], labels, used):
                        rows.add(row)
                used += max(labels, default=-1) + 1

    def _rows(
        self, video: Video, index: int, tracks: Tracks, labels: Mapping[int, int], used: int
    ) -> Iterator[dict[str, Any]]:
        """The boxes of a frame."""
        kept = tracks[np.sort(np.argsort(-tracks.scores, kind="stable")[:MOST_BOXES])]
        columns = (kept.ids.tolist(), kept.scores.tolist(), kept.boxes.tolist())
        for identity, score, (x1, y1, x2, y2) in zip(*columns, strict=True):
            if labels[identity] in self._categories:
                yield {
                    "image_id": video.frames[index], "video_id": int(video.name), "track_id": used + identity + 1,
                    "category_id": self._categories[labels[identity]], "score": round(score, 6),
                    "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                }  # fmt: skip


def _one_class(frames: Iterable[Tracks]) -> dict[int, int]:
    """The class of each track in which it scores most over all frames."""
    sums: defaultdict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for tracks in frames:
        columns = (tracks.ids.tolist(), tracks.labels.tolist(), tracks.scores.tolist())
        for identity, label, score in zip(*columns, strict=True):
            sums[identity][label] += score
    return {identity: max(scores, key=lambda label: scores[label]) for identity, scores in sums.items()}
