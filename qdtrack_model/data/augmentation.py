"""Labelled images changed at random: cropped, scaled, flipped and recoloured."""

from __future__ import annotations

import cv2
import numpy as np

from qdtrack_model.boxes import box_area, box_centres
from qdtrack_model.data.samples import IGNORED, LabelledImage
from qdtrack_model.structures import Array


def draw_warps(
    frame: LabelledImage, crop_size: tuple[int, int], scale_range: tuple[float, float], random: np.random.Generator
) -> list[Array]:
    """Two affine maps (2, 3) from frame to crop: nearly the same place and scale, the same flip.

    Args:
        frame: the place is near one of its objects.
        crop_size: height, width.
        scale_range: lowest and highest scale.
        random: what is drawn from.
    """
    height, width = crop_size
    scale = np.exp(random.uniform(*np.log(scale_range)))
    flip = random.random() < 0.5
    targets = box_centres(frame.boxes[frame.labels >= 0])
    focus = targets[random.integers(len(targets))] if len(targets) else np.array(frame.image.shape[1::-1]) / 2
    focus = focus + random.uniform(-0.4, 0.4, 2) * (width, height) / scale
    warps = []
    for _ in range(2):
        own_scale = scale * np.exp(random.uniform(-0.05, 0.05))
        half = np.array((width, height)) / 2 / own_scale
        # A crop that fits stays inside the frame; a larger one is centred on it.
        limit = np.array(frame.image.shape[1::-1]) - half
        centre = np.where(limit > half, np.clip(focus, half, limit), np.array(frame.image.shape[1::-1]) / 2)
        centre = centre + random.uniform(-0.05, 0.05, 2) * (width, height)
        mirror = -1 if flip else 1
        warps.append(
            np.array(
                [
                    [mirror * own_scale, 0, width / 2 - mirror * own_scale * centre[0]],
                    [0, own_scale, height / 2 - own_scale * centre[1]],
                ]
            )
        )
    return warps


def colour_tables(random: np.random.Generator) -> Array:
    """Lookup tables (256, 3) uint8 of a random contrast, brightness and colour cast."""
    levels = np.arange(256)[:, None] / 255
    gamma = np.exp(random.uniform(-0.3, 0.3))
    contrast, brightness = random.uniform(0.7, 1.3), random.uniform(-0.12, 0.12)
    cast = 1 + random.uniform(-0.08, 0.08, 3)
    table = ((levels**gamma - 0.5) * contrast + 0.5 + brightness) * cast
    tables: Array = np.clip(table * 255 + 0.5, 0, 255).astype(np.uint8)
    return tables


def crop(
    frame: LabelledImage,
    warp: Array,
    size: tuple[int, int],
    padding: tuple[int, int, int],
    tables: Array,
    grey: bool,
) -> LabelledImage:
    """The crop of ``frame`` that the affine map ``warp`` (2, 3) shows.

    Args:
        frame: what it is cut from.
        warp: from pixels of the frame to those of the crop.
        size: height, width of the crop.
        padding: colour (B, G, R) of what lies beyond the frame, before colours are changed.
        tables: of :func:`colour_tables`.
        grey: whether colours are taken away.
    """
    height, width = size
    image = cv2.warpAffine(frame.image, warp, (width, height), flags=cv2.INTER_LINEAR, borderValue=padding)
    image = cv2.LUT(image, tables[None])
    if grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    corners = frame.boxes.reshape(-1, 2, 2) * (warp[0, 0], warp[1, 1]) + warp[:, 2]
    whole = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    boxes = np.clip(whole, 0, (width, height, width, height))
    # What the crop cuts to a third is like what the image border cuts: neither to be learned nor punished.
    left = box_area(boxes) / np.maximum(box_area(whole), 1e-6)
    labels = np.where(left < 0.35, IGNORED, frame.labels)
    seen = (left > 0) & (box_area(boxes) > 1)
    return LabelledImage(image, boxes[seen], frame.ids[seen], labels[seen])
