"""What a training image is labelled with, drawn into it, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from qdtrack_model.drawing.overlay import FONT, colour_of, text_colour
from qdtrack_model.structures import Array

ENLARGED = 2  # training images are small
GREY = (150, 150, 150)
STRIPES = 14  # pixels from one to the next
TEXT = 0.4  # size of letters, of OpenCV's


def draw_labels(
    image: Array, boxes: Array, ids: Array, labels: Array, open_boxes: Array, open_labels: Array, classes: Sequence[str]
) -> Array:
    """An enlarged copy of an image with its labels and what their colours mean.

    Boxes are in the colour of their class, with the id, ignored ones in grey without; stripes in the colour of a class
    lie where its objects may stand without a box.

    Args:
        image: (H, W, 3) BGR uint8.
        boxes: (N, 4) in pixels.
        ids: (N,) below 0 where unknown.
        labels: (N,) class indices, below 0 where ignored.
        open_boxes: (M, 4) regions.
        open_labels: (M,) the class of each.
        classes: names.
    """
    size = (image.shape[1] * ENLARGED, image.shape[0] * ENLARGED)
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    boxes, open_boxes = np.round(boxes * ENLARGED).astype(int), np.round(open_boxes * ENLARGED).astype(int)
    for label in sorted(set(open_labels.tolist())):
        _draw_stripes(canvas, open_boxes[open_labels == label], boxes[labels == label], label)
    for box, identity, label in zip(boxes.tolist(), ids.tolist(), labels.tolist(), strict=True):
        colour = GREY if label < 0 else colour_of(label)
        cv2.rectangle(canvas, tuple(box[:2]), tuple(box[2:]), colour, 2)
        if label >= 0:
            _write(canvas, str(identity) if identity >= 0 else "?", (box[0], box[1]), colour)
    legend = [(name, colour_of(label)) for label, name in enumerate(classes) if label in labels]
    legend += [(f"{classes[i]}: not all have a box", colour_of(i)) for i in sorted(set(open_labels.tolist()))]
    for row, (text, colour) in enumerate(legend + [("ignored", GREY)] * bool((labels < 0).any())):
        _write(canvas, text, (0, size[1] - 16 * row), colour)
    return canvas


def _draw_stripes(canvas: Array, regions: Array, known: Array, label: int) -> None:
    """Stripes in regions but for the boxes ``known``; those of each class lie elsewhere."""
    rows, columns = np.arange(canvas.shape[0])[:, None], np.arange(canvas.shape[1])
    striped = (rows + columns - 5 * label) % STRIPES < 2
    inside = np.zeros(canvas.shape[:2], bool)
    for value, part in ((True, regions), (False, known)):
        for x1, y1, x2, y2 in part.tolist():
            inside[y1:y2, x1:x2] = value
    canvas[striped & inside] = colour_of(label)


def _write(canvas: Array, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Text on a filled ground above ``corner``, inside the image."""
    width, height = cv2.getTextSize(text, FONT, TEXT, 1)[0]
    left = min(max(corner[0], 0), max(canvas.shape[1] - width - 4, 0))
    bottom = min(max(corner[1], height + 6), canvas.shape[0])
    cv2.rectangle(canvas, (left, bottom - height - 6), (left + width + 4, bottom), colour, cv2.FILLED)
    cv2.putText(canvas, text, (left + 2, bottom - 3), FONT, TEXT, text_colour(colour), 1, cv2.LINE_AA)
