"""Labelled images changed at random: cropped, put together, recoloured, and worn as cameras wear them.

Everything is drawn from the generator it is given, so that a pair can be made again. Boxes go through the same affine
map as pixels. The pixels are OpenCV's work: of the libraries that change boxes along with images, albumentations is
no longer kept up, its successor's licence binds those who use it, and torchvision is not needed otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from qdtrack_model.boxes import box_centres
from qdtrack_model.config import GREY
from qdtrack_model.data.samples import LabelledImage, Objects, side_by_side
from qdtrack_model.structures import Array

GRIDS = ((1, 2), (2, 1), (2, 2), (2, 2), (2, 2), (3, 2), (3, 3))  # columns and rows of mosaics, equally likely


def crop_map(
    size: tuple[int, int], crop: tuple[int, int], focus: Array, scale: float, flip: bool, shift: Array | float = 0.0
) -> Array:
    """The affine map (2, 3) from an image to a crop of it around ``focus``.

    A crop that fits stays inside the image; a larger one is centred on it.

    Args:
        size: (width, height) of the image.
        crop: (width, height) of the crop.
        focus: (2,) point of the image that is wanted in the middle.
        scale: pixels of the crop to one of the image.
        flip: left and right change places.
        shift: (2,) pixels of the image by which the crop lies elsewhere, perhaps beyond the border.
    """
    half = np.array(crop) / 2 / scale
    limit = np.array(size) - half
    centre = np.where(limit > half, np.clip(focus, half, limit), np.array(size) / 2) + shift
    mirror = -1 if flip else 1
    return np.array(
        [
            [mirror * scale, 0, crop[0] / 2 - mirror * scale * centre[0]],
            [0, scale, crop[1] / 2 - scale * centre[1]],
        ]
    )


def draw_warps(
    image: LabelledImage,
    crop: tuple[int, int],
    scale_range: tuple[float, float],
    spread: float,
    random: np.random.Generator,
    mirrored: bool = False,
    turn: tuple[float, float] = (0.0, 0.0),
) -> list[Array]:
    """Two affine maps (2, 3) from image to crop: nearly the same place and scale, the same flip unless ``mirrored``.

    Args:
        image: the place is near one of its objects.
        crop: width, height.
        scale_range: lowest and highest scale.
        spread: by which fraction of scale and crop the two differ at most from what they have in common.
        random: what is drawn from.
        mirrored: the second is flipped, where the first is not, and the other way round.
        turn: by how many degrees each is rotated and sheared at most.
    """
    size = (image.image.shape[1], image.image.shape[0])
    scale = np.exp(random.uniform(*np.log(scale_range)))
    flip = bool(random.random() < 0.5)
    targets = box_centres(image.objects.boxes[image.objects.labels >= 0])
    focus = targets[random.integers(len(targets))] if len(targets) else np.array(size) / 2
    focus = focus + random.uniform(-0.4, 0.4, 2) * crop / scale
    warps = []
    for number in range(2):
        own_scale = scale * np.exp(random.uniform(-spread, spread))
        shift = random.uniform(-spread, spread, 2) * crop / own_scale
        warp = crop_map(size, crop, focus, own_scale, flip ^ (mirrored and number == 1), shift)
        warps.append(_turned(warp, crop, *turn, random) if any(turn) else warp)
    return warps


def _turned(warp: Array, crop: tuple[int, int], rotation: float, shear: float, random: np.random.Generator) -> Array:
    """The map to a crop (width, height) that is turned and sheared about its middle, by so many degrees at most."""
    angle = np.radians(random.uniform(-rotation, rotation))
    across, down = np.tan(np.radians(random.uniform(-shear, shear, 2)))
    turn = np.array([[1, across], [down, 1]]) @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    middle = np.array(crop) / 2
    return np.column_stack([turn @ warp[:, :2], turn @ (warp[:, 2] - middle) + middle])


def view(
    image: LabelledImage, warp: Array, crop: tuple[int, int], padding: tuple[int, int, int] = GREY
) -> LabelledImage:
    """What the affine map ``warp`` (2, 3) shows of an image, in a crop (width, height).

    What lies beyond the image has the colour ``padding`` (B, G, R).
    """
    pixels, used = image.image, warp
    # Linear interpolation skips pixels when it shrinks to well below half: halve first, as before inference.
    while abs(used[1, 1]) < 0.45 and min(pixels.shape[:2]) > 1:
        height, width = pixels.shape[:2]
        pixels = cv2.resize(pixels, ((width + 1) // 2, (height + 1) // 2))
        used = used * (width / pixels.shape[1], height / pixels.shape[0], 1)
    # OpenCV maps centres of pixels; boxes, and so the map, are measured from the edges.
    from_centres = used.copy()
    from_centres[:, 2] += (used[:, :2].sum(axis=1) - 1) / 2
    shown = cv2.warpAffine(pixels, from_centres, crop, flags=cv2.INTER_LINEAR, borderValue=padding)
    return LabelledImage(shown, image.objects.seen_through(warp, crop))


def mosaic(
    parts: Sequence[LabelledImage],
    columns: int,
    size: tuple[int, int],
    zoom: tuple[float, float],
    random: np.random.Generator,
) -> LabelledImage:
    """Images side by side in a grid: objects become as small as street cameras see them.

    Args:
        parts: row by row, as many as fill the grid; each covers its cell.
        columns: of the grid.
        size: (width, height) of the mosaic.
        zoom: lowest and highest enlargement beyond what just covers a cell.
        random: what is drawn from.
    """
    across, down = _edges(size[0], columns, random), _edges(size[1], len(parts) // columns, random)
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    objects: list[Objects] = []
    for place, part in enumerate(parts):
        row, column = divmod(place, columns)
        left, right, top, bottom = across[column], across[column + 1], down[row], down[row + 1]
        height, width = part.image.shape[:2]
        scale = max((right - left) / width, (bottom - top) / height) * np.exp(random.uniform(*np.log(zoom)))
        focus, flip = random.uniform(0, 1, 2) * (width, height), bool(random.random() < 0.5)
        cell = (right - left, bottom - top)
        shown = view(part, crop_map((width, height), cell, focus, scale, flip), cell)
        canvas[top:bottom, left:right] = shown.image
        objects.append(shown.objects.moved(left, top))
    return LabelledImage(canvas, side_by_side(objects))


def mixup(
    first: LabelledImage, second: LabelledImage, padding: tuple[int, int, int], random: np.random.Generator
) -> LabelledImage:
    """Two images shining through each other, each about half (mixup, ICLR 2018): objects before unusual backgrounds.

    Args:
        first: keeps its place.
        second: is laid over it, shown as large as covers it or up to half as large again.
        padding: colour (B, G, R) of what lies beyond the second.
        random: what is drawn from.
    """
    height, width = first.image.shape[:2]
    size = (second.image.shape[1], second.image.shape[0])
    scale = max(width / size[0], height / size[1]) * random.uniform(1, 1.5)
    focus, flip = random.uniform(0, 1, 2) * size, bool(random.random() < 0.5)
    over = view(second, crop_map(size, (width, height), focus, scale, flip), (width, height), padding)
    share = random.beta(8, 8)
    pixels = cv2.addWeighted(first.image, 1 - share, over.image, share, 0)
    return LabelledImage(pixels, side_by_side([first.objects, over.objects]))


def _edges(length: int, parts: int, random: np.random.Generator) -> list[int]:
    """Where ``parts`` cells of unequal sizes begin and end along ``length``."""
    inner = (np.arange(1, parts) + random.uniform(-0.25, 0.25, parts - 1)) * length / parts
    return [0, *inner.astype(int).tolist(), length]


def colour_tables(random: np.random.Generator, strength: float = 1.0) -> Array:
    """Lookup tables (256, 3) uint8 of a random contrast, brightness and colour cast; strength 0 changes nothing."""
    levels = np.arange(256)[:, None] / 255
    gamma, contrast = np.exp(random.uniform(-0.4, 0.4, 2) * strength)
    brightness, cast = random.uniform(-0.15, 0.15) * strength, 1 + random.uniform(-0.1, 0.1, 3) * strength
    table = ((levels**gamma - 0.5) * contrast + 0.5 + brightness) * cast
    tables: Array = np.clip(table * 255 + 0.5, 0, 255).astype(np.uint8)
    return tables


def hue_tables(random: np.random.Generator) -> Array:
    """Lookup tables (256, 3) uint8 for hue, saturation and value: another hue, more or less colour."""
    levels = np.arange(256)
    hue = (levels + random.integers(-15, 16)) % 180
    saturation = np.clip(levels * random.uniform(0.4, 1.5), 0, 255)
    return np.stack([hue, saturation, levels], axis=1).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Light:
    """What the light does to the colours of both views of a pair alike.

    Args:
        tables: (256, 3) of the colours.
        hue: (256, 3) of hue, saturation and value, or None.
        channels: order of the colours.
        grey: colours are taken away.
    """

    tables: Array
    hue: Array | None
    channels: tuple[int, ...]
    grey: bool


def draw_light(grey_probability: float, random: np.random.Generator) -> Light:
    """Light at random."""
    return Light(
        colour_tables(random),
        hue_tables(random) if random.random() < 0.3 else None,
        tuple(random.permutation(3).tolist()) if random.random() < 0.05 else (0, 1, 2),
        bool(random.random() < grey_probability),
    )


def exposed(image: Array, light: Light, own: float, random: np.random.Generator) -> Array:
    """An image (H, W, 3) as a camera takes it: in this light, with an exposure of its own, and now and then blurred,
    noisy or compressed.

    Args:
        image: BGR.
        light: what the views of a pair have in common.
        own: strength of the view's own change of colours, 0..1.
        random: what is drawn from.
    """
    if light.hue is not None:
        image = cv2.cvtColor(cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), light.hue[None]), cv2.COLOR_HSV2BGR)
    if light.channels != (0, 1, 2):
        image = np.ascontiguousarray(image[..., light.channels])
    tables = np.take_along_axis(colour_tables(random, own), light.tables.astype(np.intp), axis=0)
    image = cv2.LUT(image, tables[None])
    if light.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if random.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.4))
    if random.random() < 0.2:
        noise = random.standard_normal(image.shape, np.float32) * np.float32(random.uniform(2, 12))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if random.random() < 0.25:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 90))])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return image
