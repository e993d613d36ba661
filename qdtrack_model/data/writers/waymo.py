"""The Waymo Open Dataset's camera boxes (https://waymo.com/open) as JSON, names as in its protocol buffers.

The form that ``evaluate --protocol waymo`` reads (``readers/waymo.py``), with a ``score`` for each box. The challenge's
server takes a binary file, which the data set's own tools make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.data.held_out import SampleSource
from qdtrack_model.data.readers.waymo import TYPES
from qdtrack_model.data.readers.waymo_parquet import FRAME_RATE, IMAGES, LABELLED, PARTS, TableImage, camera_images
from qdtrack_model.data.reading import Recording
from qdtrack_model.data.samples import Objects
from qdtrack_model.data.writers import JsonList, Video, WriterError, part_folder
from qdtrack_model.structures import Tracks

NUMBERS = {name: number for number, name in TYPES.items()}


class WaymoWriter:
    """Writes a JSON file, each segment as soon as all of its cameras are tracked.

    Args:
        data: the data set: ``validation/camera_image/SEGMENT.parquet`` and its like.
        part: train, val or test.
        output: the file.
        classes: of the network, all of them Waymo's.

    Raises:
        DataError: a table is broken, or pyarrow is not installed.
        WriterError: no segment is there, or a class is none of Waymo's.
    """

    def __init__(self, data: Path, part: str, output: Path, classes: Sequence[str]) -> None:
        unknown = [name for name in classes if name not in LABELLED]
        if unknown:
            raise WriterError(f"Waymo's camera boxes have no class {unknown[0]!r}; theirs: {', '.join(LABELLED)}")
        folder = part_folder(data, part, f"{PARTS[part]}/{IMAGES}")
        self.videos: Sequence[Video] = [
            _video(path, camera, places)
            for path in sorted(folder.glob("*.parquet"))
            for camera, places in camera_images(path).items()
        ]
        if not self.videos:
            raise WriterError(f"{folder}: no tables of images in it")
        self._output, self._classes = output, classes

    def write(self, results: Iterable[tuple[Video, Mapping[int, Tracks]]]) -> None:
        """Write all segments; a frame of a camera without a track, too."""
        with JsonList(self._output, "segments") as rows:
            for name, cameras in groupby(results, lambda result: result[0].name.rpartition("/")[0]):
                frames: defaultdict[int | str, list[dict[str, Any]]] = defaultdict(list)
                for video, tracks in cameras:
                    camera = int(video.name.rpartition("/")[2])
                    for index, time in video.frames.items():
                        labels = self._labels(tracks[index]) if index in tracks else []
                        frames[time].append({"name": camera, "labels": labels})
                parts = [{"timestamp_micros": time, "camera_labels": frames[time]} for time in sorted(frames)]
                rows.add({"context_name": name, "frames": parts})

    def _labels(self, tracks: Tracks) -> list[dict[str, Any]]:
        boxes = np.round(np.concatenate([(tracks.boxes[:, :2] + tracks.boxes[:, 2:]) / 2,
                                         tracks.boxes[:, 2:] - tracks.boxes[:, :2]], axis=1), 3)  # fmt: skip
        return [
            {
                "id": str(identity + 1),
                "type": NUMBERS[self._classes[label]],
                "score": round(score, 4),
                "box": dict(zip(("center_x", "center_y", "length", "width"), box, strict=True)),
            }
            for identity, label, score, box in zip(
                tracks.ids.tolist(), tracks.labels.tolist(), tracks.scores.tolist(), boxes.tolist(), strict=True
            )
        ]


def _video(path: Path, camera: int, places: Sequence[tuple[int, int, int]]) -> Video:
    """The images of a camera in a table."""
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    samples = [TableImage(path, group, row, nothing, None) for _, group, row in places]
    recording = Recording(f"{path.stem}/{camera}", samples, path, frame_rate=FRAME_RATE)
    times = {index: time for index, (time, _, _) in enumerate(places, start=1)}
    return Video(recording.name, SampleSource(recording), times)
