"""The pictures of a run, from its bags: the overlay video, and crops of the worst moments."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from qdtrack_model.data.bags import read_images
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.drawing.overlay import Trails, draw
from qdtrack_model.drawing.video import VideoWriter
from qdtrack_model.evaluation.frames import rows_by_frame
from qdtrack_model.replay.measures import ALL, scored_classes
from qdtrack_model.replay.moments import Moment, View, worst_moments
from qdtrack_model.replay.run import Run
from qdtrack_model.replay.sequence import OVERLAY, ReplayedSequence, RunError
from qdtrack_model.structures import Array, Tracks, TrackState

MOMENTS = "moments.json"
_HEIGHT, _QUALITY = 160, 80  # of crops
_TRAIL = 40  # images


def write_pictures(run: Run, progress: Callable[[str], None] = lambda name: None, bag: Path | None = None) -> None:
    """Write ``overlay.mp4``, ``moments.json`` and the crops of every sequence of a run, whose bags are read again.

    Args:
        run: that lies here.
        progress: called with the name of the sequence after each image.
        bag: where the run's only bag is, if not where the run says.

    Raises:
        BagError: a bag is gone or broken.
    """
    for told, sequence in run.sequences():
        scored = scored_classes(sequence, run.settings.classes)
        moments = worst_moments(sequence, scored.get(ALL))
        crops = _Crops(sequence.folder / "moments", moments)
        _draw(bag or told["bag"], told, sequence, run.settings.classes, crops, progress)
        listed = [
            {
                "kind": moment.kind, "text": moment.text, "frame": moment.frame,
                "seconds": round(float(sequence.seconds_of(np.array([moment.frame]))[0]), 3),
                "before": crops.name(place, "before"), "after": crops.name(place, "after"),
            }
            for place, moment in enumerate(moments)
        ]  # fmt: skip
        (sequence.folder / MOMENTS).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def read_moments(sequence: ReplayedSequence) -> list[dict[str, Any]]:
    """The moments as written; none where there are no pictures.

    Raises:
        RunError: the file is broken.
    """
    path = sequence.folder / MOMENTS
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return [
            {key: moment[key] for key in ("kind", "text", "frame", "seconds", "before", "after")} for moment in found
        ]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: broken ({type(error).__name__}: {error})") from None


def _draw(
    bag: Path | str, told: Mapping[str, Any], sequence: ReplayedSequence, classes: Mapping[int, str], crops: _Crops,
    progress: Callable[[str], None],
) -> None:  # fmt: skip
    """Read the bag once more, draw the tracks and cut out crops."""
    numbers, names = list(classes), tuple(classes.values())
    rows, trails, damage = rows_by_frame(sequence.tracks), Trails(_TRAIL), [0]
    seconds = dict(zip(sequence.frames.tolist(), sequence.seconds.tolist(), strict=True))
    (sequence.folder / OVERLAY).unlink(missing_ok=True)
    rate = sequence.frame_rate

    def damaged(error: Exception) -> None:
        damage[0] += 1

    with VideoWriter(sequence.folder / OVERLAY, rate if np.isfinite(rate) else 25.0) as writer:
        for given, (_, _, image) in enumerate(read_images(bag, told["topic"], damaged), start=1):
            number = given + damage[0]
            crops.cut(number, image)
            if number in seconds:
                tracks = tracks_of(sequence.tracks[rows.get(number, np.zeros(0, np.int64))], numbers)
                trails.extend(tracks)
                writer.write(draw(image, tracks, names, trails), seconds[number])
            progress(told["name"])


def tracks_of(boxes: MotBoxes, numbers: Sequence[int]) -> Tracks:
    """Rows of one frame as tracks to draw; ``numbers`` are those of the classes."""
    count = len(boxes)
    labels = np.array([numbers.index(kind) if kind in numbers else -1 for kind in boxes.classes.tolist()], np.int64)
    return Tracks(
        boxes.ids - 1, boxes.boxes, boxes.confidences, labels, np.zeros((count, 0)), np.zeros((count, 2)),
        np.zeros(count), np.zeros(count), np.full(count, TrackState.ACTIVE),
    )  # fmt: skip


class _Crops:
    """Cuts what moments show out of the images as they come.

    Args:
        folder: that the crops are written into; what was there is removed.
        moments: whose views are cut.
    """

    def __init__(self, folder: Path, moments: Sequence[Moment]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._views: dict[int, list[tuple[str, View]]] = defaultdict(list)
        for place, moment in enumerate(moments):
            for side, view in (("before", moment.before), ("after", moment.after)):
                self._views[view.frame].append((self.name(place, side), view))

    @staticmethod
    def name(place: int, side: str) -> str:
        """Path of a crop below the sequence's folder."""
        return f"moments/{place:03d}-{side}.jpg"

    def cut(self, number: int, image: Array) -> None:
        """Cut and write the crops of one image."""
        for name, view in self._views.get(number, ()):
            self._folder.mkdir(exist_ok=True)
            crop = crop_of(image, view.box)
            _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            (self._folder.parent / name).write_bytes(data.tobytes())


def crop_of(image: Array, box: Array) -> Array:
    """The box with what is around it, drawn in, scaled to one height; (160, W, 3)."""
    x1, y1, x2, y2 = box.tolist()
    side = max(0.9 * (x2 - x1), 0.75 * (y2 - y1), 32.0)
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    low = np.floor(middle - side).astype(int)
    size = int(2 * side)
    canvas = np.full((size, size, 3), 128, np.uint8)
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(low + size, [image.shape[1], image.shape[0]])
    if right > left and bottom > top:
        canvas[top - low[1] : bottom - low[1], left - low[0] : right - low[0]] = image[top:bottom, left:right]
    scale = _HEIGHT / size
    crop = cv2.resize(canvas, (_HEIGHT, _HEIGHT), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    corners = np.round((np.array([[x1, y1], [x2, y2]]) - low) * scale).astype(int).tolist()
    cv2.rectangle(crop, corners[0], corners[1], (0, 0, 0), 3, cv2.LINE_AA)
    cv2.rectangle(crop, corners[0], corners[1], (255, 255, 255), 1, cv2.LINE_AA)
    return crop
