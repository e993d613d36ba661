"""Anti-aliased polygons on small transparent patches, and their way into a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

from qdtrack_model.structures import Array

SHIFT = 4  # fractional bits of polygon corners
# Coverage (of 255) above which a pixel belongs to a silhouette. OpenCV's anti-aliased polygons are about 0.7 pixels
# too wide on every side; at this level the silhouette has the polygon's own size.
COVERED = 235
# Two half circles around the ends of a capsule that lies along x.
_TURN = np.concatenate([np.linspace(0.5, 1.5, 8), np.linspace(-0.5, 0.5, 8)]) * np.pi
_CAPS = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)

Colour = tuple[float, float, float]


def tint(colour: Colour, factor: float) -> Colour:
    """``colour`` brightened or darkened, within 0..255."""
    b, g, r = (min(max(c * factor, 0.0), 255.0) for c in colour)
    return b, g, r


def capsule(start: Array, end: Array, start_radius: float, end_radius: float) -> Array:
    """(16, 2) outline of a tapered capsule between two (2,) points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    c, s = (dx / length, dy / length) if length > 1e-9 else (1.0, 0.0)
    outline = _CAPS @ np.array([[c, s], [-s, c]])
    outline[:8] = outline[:8] * start_radius + start
    outline[8:] = outline[8:] * end_radius + end
    return outline


def ellipse(centre: Array, radius_x: float, radius_y: float, points: int = 18) -> Array:
    """(points, 2) outline."""
    return np.asarray(centre + unit_circle(points) * (radius_x, radius_y))


@cache
def unit_circle(points: int) -> Array:
    """(points, 2) corners of a regular polygon on the unit circle."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def hull(points: Array) -> Array:
    """(M, 2) convex hull of (N, 2) points."""
    return np.asarray(cv2.convexHull(np.asarray(points, np.float32))[:, 0], np.float64)


@dataclass(eq=False)
class Drawing:
    """Polygons of one object in image coordinates, in drawing order; a polygon may carry a texture."""

    polygons: list[Array] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)
    textures: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    grain: Array | None = None  # (h, w, 3) uint8 shading stretched over the object; 128 leaves a colour as it is

    def fill(self, points: Array | None, colour: Colour) -> None:
        """Add a polygon (None, from behind the camera, adds nothing)."""
        if points is not None and len(points) >= 3:
            self.polygons.append(points)
            self.colours.append(colour)

    def textured(self, points: Array, texture: Array, corners: Array) -> None:
        """Add a polygon showing ``texture``; corners (3, 2): where its top left, top right, bottom left come to lie."""
        self.fill(points, (128.0, 128.0, 128.0))
        self.textures[len(self.polygons) - 1] = (texture, corners)

    def bounds(self) -> Array:
        """x1 y1 x2 y2 of everything drawn."""
        points = np.concatenate(self.polygons)
        return np.concatenate([points.min(axis=0), points.max(axis=0)])

    def area(self) -> float:
        """Silhouette area in pixels, parts outside the image included; counts what :meth:`rasterise` covers."""
        low, high = np.floor(self.bounds().reshape(2, 2)) + np.array([[-2], [2]])
        scale = min(1.0, 1024.0 / float((high - low).max()))  # huge only when passing close to the camera
        width, height = np.ceil((high - low) * scale).astype(int)
        mask = np.zeros((height, width), np.uint8)
        for points in self.polygons:
            cv2.fillPoly(mask, [_fixed((points - low) * scale)], 255, cv2.LINE_AA, SHIFT)
        return float(np.count_nonzero(mask > COVERED)) / scale**2

    def rasterise(self, left: int, top: int, width: int, height: int) -> Array:
        """(height, width, 4) uint8 patch of the image from (left, top): colour (not multiplied) and coverage."""
        base = np.mean(self.colours, axis=0)
        patch = np.empty((height, width, 4), np.uint8)
        patch[:] = (*base, 0)
        origin = np.array([left, top])
        for index, (points, colour) in enumerate(zip(self.polygons, self.colours, strict=True)):
            local = points - origin
            if index in self.textures:
                self._texture(patch, local, *self.textures[index], origin)
            else:
                cv2.fillPoly(patch, [_fixed(local)], (*colour, 255), cv2.LINE_AA, SHIFT)
        if self.grain is not None:
            self._shade(patch, left, top)
        return patch

    def _texture(self, patch: Array, local: Array, texture: Array, corners: Array, origin: Array) -> None:
        height, width = texture.shape[:2]
        source = np.array([[0, 0], [width, 0], [0, height]], np.float32)
        matrix = cv2.getAffineTransform(source, np.asarray(corners - origin, np.float32))
        size = (patch.shape[1], patch.shape[0])
        colour = cv2.warpAffine(texture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(mask, [_fixed(local)], 255, cv2.LINE_AA, SHIFT)
        inside = mask > 127
        patch[inside, :3] = colour[inside]
        np.maximum(patch[..., 3], mask, out=patch[..., 3])

    def _shade(self, patch: Array, left: int, top: int) -> None:
        x1, y1, x2, y2 = self.bounds()
        rows, columns = self.grain.shape[:2]  # type: ignore[union-attr]
        scale_x, scale_y = columns / max(x2 - x1, 1.0), rows / max(y2 - y1, 1.0)
        matrix = np.array([[scale_x, 0, (left - x1) * scale_x], [0, scale_y, (top - y1) * scale_y]])
        grain = cv2.warpAffine(
            self.grain, matrix, (patch.shape[1], patch.shape[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        patch[..., :3] = cv2.multiply(np.ascontiguousarray(patch[..., :3]), grain, scale=1 / 128)


def _fixed(points: Array) -> Array:
    """Edge coordinates as OpenCV's fixed-point pixel-centre coordinates."""
    return np.rint((points - 0.5) * (1 << SHIFT)).astype(np.int32)


def blur(patch: Array, motion: Array) -> Array:
    """Smear a premultiplied patch along ``motion`` (pixels during the exposure)."""
    length = float(np.hypot(*motion))
    radius = int(np.ceil(length / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    for step in np.linspace(-0.5, 0.5, 2 * radius + 3):
        x, y = step * motion + radius
        left, top = int(np.floor(x)), int(np.floor(y))
        for row, column, weight in (
            (top, left, (1 - (x - left)) * (1 - (y - top))),
            (top, left + 1, (x - left) * (1 - (y - top))),
            (top + 1, left, (1 - (x - left)) * (y - top)),
            (top + 1, left + 1, (x - left) * (y - top)),
        ):
            if 0 <= row < kernel.shape[0] and 0 <= column < kernel.shape[1]:
                kernel[row, column] += weight
    return cv2.filter2D(patch, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def composite(frame: Array, patch: Array, left: int, top: int, motion: Array | None = None) -> None:
    """Lay a patch (h, w, 4; not premultiplied) over ``frame`` in place; smeared along ``motion`` where given."""
    region = frame[top : top + patch.shape[0], left : left + patch.shape[1]]
    cover = cv2.cvtColor(np.ascontiguousarray(patch[..., 3]), cv2.COLOR_GRAY2BGR)
    colour = cv2.multiply(np.ascontiguousarray(patch[..., :3]), cover, scale=1 / 255)
    if motion is not None and np.hypot(*motion) > 0.8:
        colour, cover = blur(colour, motion), blur(cover, motion)
    region[:] = cv2.add(cv2.multiply(np.ascontiguousarray(region), cv2.bitwise_not(cover), scale=1 / 255), colour)
