"""Street furniture that stands still and hides what passes behind it: lamps, trees, kiosks, columns, bins."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.camera import Camera
from qdtrack_model.synthetic.layout import Light, Street
from qdtrack_model.synthetic.paint import Colour, Drawing, capsule, ellipse, hull, tint

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Item:
    """One thing on the pavement."""

    kind: str  # lamp, tree, kiosk, column, bin, bollard
    position: Array  # (3,) metres, on the ground
    half: tuple[float, float]  # half extents of the footprint across and along the street
    height: float
    colour: Colour
    picture: Array | None  # tree: (h, w, 4) uint8, poster: (h, w, 3) uint8


def _tree(rng: np.random.Generator) -> Array:
    """(h, w, 4) uint8: a trunk under a crown of leaves."""
    height, width = 480, 320
    image = np.zeros((height, width, 4), np.uint8)
    bark = (45, 60, 75, 255)
    trunk = np.array([[150, height], [154, 220], [166, 220], [170, height]], np.int32)
    cv2.fillPoly(image, [trunk], bark, cv2.LINE_AA)
    for _ in range(6):
        tip = (int(rng.uniform(80, 240)), int(rng.uniform(80, 200)))
        cv2.line(image, (160, int(rng.uniform(190, 260))), tip, bark, 5, cv2.LINE_AA)
    green = np.array([rng.uniform(30, 60), rng.uniform(85, 125), rng.uniform(50, 110)])
    count = int(rng.uniform(260, 420))
    angle, reach = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    xs, ys = 160 + np.cos(angle) * reach * 125, 135 + np.sin(angle) * reach * 105
    for x, y in sorted(zip(xs, ys, strict=True), key=lambda p: -p[1]):
        light = 0.62 + 0.5 * (1 - y / 270) + rng.normal() * 0.1
        colour = np.clip(green * light, 0, 255)
        radius = (int(rng.uniform(9, 26)), int(rng.uniform(7, 18)))
        cv2.ellipse(image, (int(x), int(y)), radius, rng.uniform(0, 180), 0, 360, (*colour, 255), -1, cv2.LINE_AA)
    speckle = rng.normal(size=(height // 3, width // 3)).astype(np.float32)
    speckle = cv2.resize(speckle, (width, height), interpolation=cv2.INTER_LINEAR) * 0.13
    image[..., :3] = np.clip(image[..., :3] * (1 + speckle[..., None]), 0, 255)
    return image


def _poster(rng: np.random.Generator) -> Array:
    """(48, 32, 3) uint8: a bill with blocks of colour and lines of text."""
    image = np.empty((48, 32, 3), np.uint8)
    image[:] = rng.uniform(40, 230, 3)
    for _ in range(4):
        x, y = rng.integers(0, 24), rng.integers(0, 36)
        colour = tuple(float(c) for c in rng.uniform(20, 240, 3))
        radii = (int(rng.integers(3, 12)), int(rng.integers(3, 12)))
        cv2.ellipse(image, (int(x), int(y)), radii, 0, 0, 360, colour, -1)
    for row in range(36, 46, 4):
        cv2.line(image, (4, row), (int(rng.integers(14, 28)), row), (20, 20, 20), 1)
    return image


def draw_items(street: Street, rng: np.random.Generator) -> list[Item]:
    """Furniture for both pavements; nothing nearer than 5 m to the camera."""
    items: list[Item] = []
    metal: Colour = tuple(float(c) for c in rng.uniform(45, 95) * np.array([1.0, 1.05, 0.95]))  # type: ignore[assignment]
    trees = rng.random() < 0.6
    camera = street.camera.position
    for side in (-1, 1):
        y = float(rng.uniform(-20, -12))
        while y < 60:
            kind = str(rng.choice(["tree" if trees else "lamp", "lamp", "bin", "bollard"], p=[0.34, 0.28, 0.18, 0.2]))
            items.append(_item(kind, np.array([side * (street.road + 0.75), y, 0.0]), metal, rng))
            y += float(rng.uniform(4.5, 10))
        for _ in range(int(rng.integers(1, 4))):
            kind = str(rng.choice(["kiosk", "column"]))
            x = side * (street.road + float(rng.uniform(1.0, 1.5)))
            items.append(_item(kind, np.array([x, float(rng.uniform(4, 34)), 0.0]), metal, rng))
    kept: list[Item] = []
    for item in items:
        on_zebra = street.zebra - 1.2 < item.position[1] < street.zebra + 4.8
        near = np.hypot(*(item.position - camera)[:2]) < (9.0 if item.kind in ("tree", "kiosk") else 6.0)
        crowded = any(np.hypot(*(item.position - other.position)[:2]) < 2.4 for other in kept)
        if not (on_zebra or near or crowded):
            kept.append(item)
    return kept


def _item(kind: str, position: Array, metal: Colour, rng: np.random.Generator) -> Item:
    paint: Colour = tuple(float(c) for c in rng.uniform(30, 150, 3))  # type: ignore[assignment]
    if kind == "tree":
        return Item(kind, position, (0.2, 0.2), float(rng.uniform(4.8, 7.0)), paint, _tree(rng))
    if kind == "lamp":
        return Item(kind, position, (0.1, 0.1), float(rng.uniform(4.5, 7.0)), metal, None)
    if kind == "kiosk":
        half = (float(rng.uniform(0.35, 0.7)), float(rng.uniform(0.7, 1.5)))
        return Item(kind, position, half, float(rng.uniform(1.5, 2.5)), paint, _poster(rng))
    if kind == "column":
        return Item(kind, position, (0.55, 0.55), float(rng.uniform(2.4, 3.1)), paint, _poster(rng))
    if kind == "bin":
        return Item(kind, position, (0.28, 0.28), float(rng.uniform(0.9, 1.15)), paint, None)
    return Item(kind, position, (0.1, 0.1), float(rng.uniform(0.8, 1.0)), metal, None)


def _upright(camera: Camera, base: Array, low: float, high: float, radius: float) -> tuple[Array, Array, float] | None:
    points, depth = camera.project(np.stack([base + UP * low, base + UP * high]))
    if depth.min() < 0.8:
        return None
    return points[0], points[1], radius * camera.focal / float(depth.mean())


def _ribbon(top: Array, bottom: Array, left: float, right: float) -> Array:
    """(4, 2) a strip between two points, from ``left`` to ``right`` of them."""
    return np.array([top, top, bottom, bottom]) + np.array([[left, 0], [right, 0], [right, 0], [left, 0]])


def _pillar(
    drawing: Drawing, camera: Camera, item: Item, low: float, high: float, radius: float, colour: Colour
) -> None:
    """A vertical cylinder with a lit stripe."""
    seen = _upright(camera, item.position, low, high, radius)
    if seen is None:
        return
    bottom, top, wide = seen
    outline = np.concatenate([ellipse(bottom, wide, wide * 0.3), ellipse(top, wide, wide * 0.3)])
    drawing.fill(hull(outline), colour)
    if item.picture is not None:
        face = _ribbon(top, bottom, -wide, wide)
        drawing.textured(face, item.picture, face[[0, 1, 3]])
    drawing.fill(_ribbon(top, bottom, -0.7 * wide, -0.4 * wide), tint(colour, 1.35))
    drawing.fill(ellipse(top, wide, wide * 0.3), tint(colour, 0.8))


def draw_item(item: Item, camera: Camera, light: Light) -> Drawing | None:
    """The item as polygons; None where it is behind the camera. Trees: see :func:`tree_patch`."""
    drawing, colour = Drawing(), tint(item.colour, light.shade(UP))
    if item.kind == "lamp":
        _pillar(drawing, camera, item, 0.0, 0.9, 0.11, colour)
        _pillar(drawing, camera, item, 0.5, item.height, 0.06, colour)
        arm = np.stack([item.position + UP * item.height, item.position + UP * item.height])
        arm[1, 0] -= np.sign(item.position[0]) * 1.3
        points, depth = camera.project(arm)
        if depth.min() > 0.8:
            wide = float(0.05 * camera.focal / depth.mean())
            drawing.fill(capsule(points[0], points[1], wide, wide * 2.2), colour)
    elif item.kind == "kiosk":
        _box(drawing, camera, item, light)
    elif item.kind == "column":
        _pillar(drawing, camera, item, 0.0, item.height, item.half[0], colour)
    else:
        _pillar(drawing, camera, item, 0.0, item.height, item.half[0], colour)
    return drawing if drawing.polygons else None


def _box(drawing: Drawing, camera: Camera, item: Item, light: Light) -> None:
    half, height = item.half, item.height
    for axis, sign in ((0, -1), (0, 1), (1, -1), (1, 1)):
        normal = np.zeros(3)
        normal[axis] = sign
        centre = item.position + normal * half[axis]
        if float((camera.position - centre) @ normal) <= 0:
            continue
        across = np.zeros(3)
        across[1 - axis] = half[1 - axis]
        quad = centre + np.stack([-across, across, across + UP * height, -across + UP * height])
        points = camera.polygon(quad)
        shade = light.shade(normal)
        drawing.fill(points, tint(item.colour, shade))
        inner = np.stack([
            centre - across * 0.8 + UP * height * 0.9, centre + across * 0.8 + UP * height * 0.9,
            centre - across * 0.8 + UP * height * 0.25, centre + across * 0.8 + UP * height * 0.25,
        ])  # fmt: skip
        corners, depth = camera.project(inner)
        if item.picture is not None and depth.min() > 0.8:
            picture = np.clip(item.picture * shade, 0, 255).astype(np.uint8)
            drawing.textured(corners[[0, 1, 3, 2]], picture, corners[:3])
    top = item.position + UP * height + np.array([[-half[0], -half[1], 0], [half[0], -half[1], 0],
                                                  [half[0], half[1], 0], [-half[0], half[1], 0]])  # fmt: skip
    if camera.position[2] > height:
        drawing.fill(camera.polygon(top), tint(item.colour, light.shade(UP) * 1.1))


def tree_patch(item: Item, camera: Camera, light: Light) -> tuple[Array, int, int] | None:
    """The tree's (h, w, 4) patch inside the image with its left and top."""
    seen = _upright(camera, item.position, 0.0, item.height, 1.0)
    if seen is None or item.picture is None:
        return None
    bottom, top, _ = seen
    rows, columns = item.picture.shape[:2]
    scale = (bottom[1] - top[1]) / rows
    left, right = bottom[0] - columns / 2 * scale, bottom[0] + columns / 2 * scale
    x1, y1 = max(int(left), 0), max(int(top[1]), 0)
    x2, y2 = min(int(right) + 1, camera.size[0]), min(int(bottom[1]) + 1, camera.size[1])
    if x2 - x1 < 2 or y2 - y1 < 2 or scale <= 0:
        return None
    picture, step = item.picture, 1
    while scale * step < 0.5:
        step *= 2
    if step > 1:
        picture = cv2.resize(picture, (columns // step, rows // step), interpolation=cv2.INTER_AREA)
    zoom = scale * step
    matrix = np.array([[1 / zoom, 0, (x1 - left) / zoom], [0, 1 / zoom, (y1 - top[1]) / zoom]])
    patch = cv2.warpAffine(picture, matrix, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    shade = light.shade(UP)
    patch[..., :3] = cv2.convertScaleAbs(np.ascontiguousarray(patch[..., :3]), alpha=shade)
    return patch, x1, y1
