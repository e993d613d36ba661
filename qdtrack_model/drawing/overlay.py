"""Tracks drawn into an image: boxes, ids, classes and fading trails, for people to look at."""

from __future__ import annotations

import colorsys
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from qdtrack_model.structures import Array, Tracks, TrackState

Colour = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
SHIFT = 3  # OpenCV draws at 1 / 2**SHIFT of a pixel
TRAIL_OPACITIES = (0.25, 0.5, 0.85)  # oldest part to newest
MAX_FORGOTTEN = 25  # drawn frames after which an unseen track's trail goes


@lru_cache(maxsize=4096)
def colour_of(identity: int) -> Colour:
    """A strong colour (B, G, R) that belongs to an id: neighbouring ids are far apart in hue."""
    hue = (identity * 0.61803398875) % 1  # steps of the golden ratio never come close to repeating
    saturation, value = ((0.9, 1.0), (0.65, 1.0), (1.0, 0.8))[identity % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return int(255 * blue), int(255 * green), int(255 * red)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever reads better on ``background``."""
    blue, green, red = background
    return (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else (255, 255, 255)


def caption(identity: int, label: int, classes: Sequence[str]) -> str:
    """What is written at a track: its class, where there are several, and its id."""
    return f"{classes[label]} {identity}" if len(classes) > 1 and 0 <= label < len(classes) else str(identity)


def captions(tracks: Tracks, classes: Sequence[str], letter: float) -> list[str]:
    """The captions of tracks; the id alone where a box is not wide enough for letters of this width [px]."""
    texts = []
    for identity, label, box in zip(tracks.ids.tolist(), tracks.labels.tolist(), tracks.boxes.tolist(), strict=True):
        text = caption(identity, label, classes)
        texts.append(text if len(text) * letter <= box[2] - box[0] else str(identity))
    return texts


class Trails:
    """The last positions of each track: the middle of the box's lower edge, where an object stands.

    Args:
        length: positions kept of each track.
    """

    def __init__(self, length: int = 24) -> None:
        self.length = length
        self._paths: dict[int, deque[tuple[float, float]]] = {}
        self._unseen: dict[int, int] = {}

    def extend(self, tracks: Tracks) -> None:
        """Append the position of every track that is seen."""
        for identity in list(self._unseen):
            self._unseen[identity] += 1
            if self._unseen[identity] > MAX_FORGOTTEN:
                del self._unseen[identity], self._paths[identity]
        for identity, box, state in zip(tracks.ids.tolist(), tracks.boxes.tolist(), tracks.states, strict=True):
            if state != TrackState.LOST:
                path = self._paths.setdefault(identity, deque(maxlen=self.length))
                path.append(((box[0] + box[2]) / 2, box[3]))
                self._unseen[identity] = 0

    @property
    def paths(self) -> dict[int, Array]:
        """Id -> (K, 2) float64 pixels, oldest first; K is at least 2."""
        return {identity: np.array(path) for identity, path in self._paths.items() if len(path) > 1}

    def draw(self, image: Array, thickness: int) -> None:
        """Draw the trails into ``image``, the oldest part faintest."""
        points = {identity: np.round(path * 2**SHIFT).astype(np.int32) for identity, path in self.paths.items()}
        if not points:
            return
        # Opacity and colour are drawn apart and blended where something is: much faster than blending whole images.
        opacity = np.zeros(image.shape[:2], np.uint8)
        colours = np.empty_like(image)
        parts = len(TRAIL_OPACITIES)
        for part, strength in enumerate(TRAIL_OPACITIES):
            for identity, path in points.items():
                # Counted from the newest end: a young track has only the strong part.
                start = len(path) - 1 - (parts - part) * self.length // parts
                end = len(path) - 1 - (parts - part - 1) * self.length // parts
                piece = path[max(start, 0) : max(end, 0) + 1]
                if len(piece) > 1:
                    cv2.polylines(colours, [piece], False, colour_of(identity), thickness + 2, cv2.LINE_8, SHIFT)
                    cv2.polylines(opacity, [piece], False, round(255 * strength), thickness, cv2.LINE_AA, SHIFT)
        drawn = cv2.findNonZero(opacity)
        if drawn is not None:
            columns, rows = drawn.reshape(-1, 2).T  # OpenCV 4 and 5 differ in the shape
            share = opacity[rows, columns, None].astype(np.float32) / 255
            image[rows, columns] = share * colours[rows, columns] + (1 - share) * image[rows, columns]

    def clear(self) -> None:
        """Forget all trails."""
        self._paths.clear()
        self._unseen.clear()


def _draw_box(image: Array, box: list[float], colour: Colour, thickness: int) -> None:
    x1, y1, x2, y2 = (round(value * 2**SHIFT) for value in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA, SHIFT)


def _draw_label(image: Array, texts: Sequence[str], box: list[float], colour: Colour, scale: float) -> None:
    """A small filled label on the box's upper edge, kept inside the image: the first text no wider than the box."""
    margin = max(1, round(4 * scale))
    for text in texts:
        (width, height), _ = cv2.getTextSize(text, FONT, scale, 1)
        full_width, full_height = width + 2 * margin, height + 2 * margin
        if full_width <= box[2] - box[0]:
            break
    left = min(max(round(box[0]), 0), max(image.shape[1] - full_width, 0))
    top = round(box[1]) - full_height
    if top < 0:
        top = min(max(round(box[1]), 0), max(image.shape[0] - full_height, 0))
    cv2.rectangle(image, (left, top), (left + full_width - 1, top + full_height - 1), colour, cv2.FILLED)
    origin = (left + margin, top + margin + height)
    cv2.putText(image, text, origin, FONT, scale, text_colour(colour), 1, cv2.LINE_AA)


def draw(
    image: Array, tracks: Tracks, classes: Sequence[str], trails: Trails | None = None, first_id: int = 1
) -> Array:
    """Draw tracks into a copy of an image. Lost tracks are not drawn.

    Args:
        image: (H, W, 3) BGR or (H, W) grey, uint8.
        tracks: boxes in pixels of the image.
        classes: class names, written where there are several and the box is wide enough; ids always are.
        trails: paths up to now, drawn too.
        first_id: the number written for id 0: 1 as in result files, 0 as in messages.

    Returns:
        A new image (H, W, 3) BGR.
    """
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    size = canvas.shape[0] / 720
    thickness = max(1, round(1.6 * size))
    if trails is not None:
        trails.draw(canvas, thickness)
    seen = tracks[tracks.states != TrackState.LOST]
    order = np.argsort(seen.boxes[:, 3], kind="stable")  # nearer objects over farther ones
    for row in order:
        _draw_box(canvas, seen.boxes[row].tolist(), colour_of(int(seen.ids[row])), thickness)
    for row in order:
        identity, label = int(seen.ids[row]), int(seen.labels[row])
        texts = (caption(identity + first_id, label, classes), str(identity + first_id))
        _draw_label(canvas, texts, seen.boxes[row].tolist(), colour_of(identity), max(0.35, 0.42 * size))
    return canvas
