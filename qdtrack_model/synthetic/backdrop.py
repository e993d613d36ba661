"""The still part of a scene: ground, house fronts and sky, painted once and moved with the camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.camera import Camera, homography
from qdtrack_model.synthetic.facades import METRE, START, TALLEST, house_fronts, noise
from qdtrack_model.synthetic.layout import Street

SUPERSAMPLE = 1.5


@dataclass(frozen=True, eq=False)
class Layer:
    """A plane painted as the reference camera sees it: BGR, premultiplied by its coverage."""

    colour: Array
    cover: Array  # (h, w) uint8
    normal: Array | None
    offset: float


def _sample(texture: Array, u: Array, v: Array) -> Array:
    """Bilinear lookup with wrapping; u and v in texture pixels."""
    height, width = texture.shape[:2]
    return cv2.remap(
        texture, np.mod(u, width).astype(np.float32), np.mod(v, height).astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip


def _mix(base: Array, colour: Array | float, share: Array) -> Array:
    return base + (colour - base) * share[..., None]


def _stripe(value: Array, low: float | Array, high: float | Array, soft: Array) -> Array:
    """1 between low and high, with edges as wide as a pixel's footprint ``soft``."""
    return np.clip((value - low) / soft + 0.5, 0, 1) * np.clip((high - value) / soft + 0.5, 0, 1)


def _ground(street: Street, rng: np.random.Generator, x: Array, y: Array, soft: Array) -> Array:
    """(h, w, 3) float32 colour of the ground at world points; ``soft``: metres covered by a pixel."""
    grain = noise(rng)
    fine = _sample(grain, x * 90, y * 90) * np.clip(0.02 / soft, 0.1, 1)
    patches = _sample(grain, x * 9 + 40, y * 5)
    road, wall = street.road, street.wall
    tone = rng.uniform(62, 105)
    colour = np.empty((*x.shape, 3), np.float32)
    colour[:] = np.array([1.03, 1.0, 0.98]) * tone
    tracks = np.cos((np.abs(x) / road * 2 - 1) * 2 * np.pi)
    colour *= (1 + 0.10 * fine + 0.08 * patches - 0.04 * tracks)[..., None]
    colour = _mix(colour, tone * 0.75, _stripe(patches, 0.75, 0.95, soft * 3) * 0.8)  # repaired asphalt
    paint = rng.uniform(185, 235)
    worn = np.clip(0.85 + 0.35 * fine + 0.2 * patches, 0.3, 1)
    dashes = _stripe(np.abs(x), -1, 0.08, soft) * _stripe(np.mod(y, 7.0), 1.0, 4.0, soft)
    zebra_zone = _stripe(y, street.zebra, street.zebra + 3.6, soft) * _stripe(np.abs(x), -1, road - 0.2, soft)
    zebra = zebra_zone * _stripe(np.mod(x, 1.0), 0.0, 0.52, soft)
    stop = _stripe(y, street.zebra - 1.4, street.zebra - 1.0, soft) * _stripe(x, 0, road - 0.2, soft)
    edge = _stripe(np.abs(x), road - 0.42, road - 0.28, soft) * float(rng.random() < 0.6) * (1 - zebra_zone)
    marks = np.clip(dashes * (1 - zebra_zone) + zebra + stop + edge, 0, 1) * worn
    colour = _mix(colour, paint, marks)
    stone = np.array([[150, 158, 162], [140, 160, 178], [128, 132, 134], [120, 135, 165]][rng.integers(4)])
    stone = stone * rng.uniform(0.75, 1.05)
    size = float(rng.choice([0.4, 0.6, 1.0]))
    shift = np.floor(x / size) % 2 * size / 2
    joint = np.maximum(
        _stripe(np.mod(x, size), -1, 0.03, soft), _stripe(np.mod(y + shift, size), -1, 0.03, soft)
    ) * np.clip(0.05 / soft, 0, 1)
    slab = np.floor(x / size) * 37.7 + np.floor((y + shift) / size) * 91.3
    mottle = _sample(grain, slab * 7.1, slab * 3.3) * np.clip(0.15 / soft, 0, 1)
    pavement = stone * (1 + 0.07 * mottle + 0.07 * fine + 0.06 * patches - 0.3 * joint)[..., None]
    on_pavement = _stripe(np.abs(x), road + 0.16, wall + 0.3, soft)
    colour = _mix(colour, pavement.astype(np.float32), on_pavement)
    colour = _mix(colour, 165.0, _stripe(np.abs(x), road - 0.02, road + 0.2, soft))
    colour = _mix(colour, 45.0, _stripe(np.abs(x), road - 0.1, road - 0.02, soft) * 0.7)
    wall_shadow = np.clip(1 - np.abs(np.abs(x) - wall) / 1.0, 0, 1) * 0.3
    for _ in range(14):  # manholes and stains
        cx, cy, radius = rng.uniform(-wall, wall), rng.uniform(3, 40), rng.uniform(0.2, 0.5)
        near = (np.abs(x - cx) < 1) & (np.abs(y - cy) < 1)
        disc = np.clip((radius - np.hypot(x[near] - cx, y[near] - cy)) / soft[near] + 0.5, 0, 1)
        colour[near] = _mix(colour[near], rng.uniform(40, 80), disc * rng.uniform(0.3, 0.8))
    return np.asarray(colour * (1 - wall_shadow)[..., None], np.float32)


def _wall_image(rays: Array, camera: Camera, plane: float, texture: Array) -> Array:
    """(h, w, 4) float32 view of a house front at x = plane; zero where the ray meets nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = (plane - camera.position[0]) / rays[..., 0]
    reach = np.where((reach > 0.05) & np.isfinite(reach), reach, 1e6)
    along = camera.position[1] + rays[..., 1] * reach
    up = camera.position[2] + rays[..., 2] * reach
    u, v = (along - START) * METRE - 0.5, (TALLEST - up) * METRE - 0.5
    seen = cv2.remap(
        texture, np.clip(u, -9, 32000).astype(np.float32), np.clip(v, -9, 32000).astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0),
    )  # fmt: skip
    return seen.astype(np.float32)


def _sky(rng: np.random.Generator, rays: Array, light_strength: float) -> Array:
    unit = rays / np.sqrt((rays**2).sum(axis=-1, keepdims=True))
    up = np.clip(unit[..., 2], 0, 1)[..., None]
    clear = np.array([235, 190, 140], np.float32) * (1 - up) + np.array([200, 130, 80], np.float32) * up
    grey = np.full(3, 215, np.float32) - up * 40
    base = grey + (clear - grey) * light_strength
    spread = 130 / np.maximum(unit[..., 2] + 0.25, 0.1)
    clouds = _sample(noise(rng), unit[..., 0] * spread, unit[..., 1] * spread)
    base = base + (240 - base) * np.clip(clouds, 0, 1)[..., None] * 0.7
    angle = np.arctan2(unit[..., 0], unit[..., 1])
    skyline = 0.05 + 0.03 * _sample(noise(rng), angle * 300, np.zeros_like(angle) + 9)
    return np.where((unit[..., 2] < skyline)[..., None], np.array([150, 142, 135], np.float32), base)  # hazy distance


def _surroundings(street: Street, rng: np.random.Generator, rays: Array, textures: dict[int, Array]) -> Array:
    """(h, w, 3) sky, the hazy distance, and the inside of the side streets."""
    far = _sky(rng, rays, street.light.strength)
    for side in (-1, 1):
        wall = _wall_image(rays, street.reference, side * (street.wall + 16), textures[-side])
        share = wall[..., 3:] / 255
        hazy = wall[..., :3] * (street.light.shade(np.array([-side, 0, 0])) * 0.8) + 40
        far = far + (hazy - far) * share
    return np.asarray(far)


def _ground_image(street: Street, rng: np.random.Generator, rays: Array) -> tuple[Array, Array]:
    """(h, w, 3) float32 ground as the reference camera sees it, and (h, w) bool where there is any."""
    camera, position = street.reference, street.reference.position.astype(np.float32)
    below = rays[..., 2] < -1e-4
    first = int(np.flatnonzero(below.any(axis=1)).min(initial=len(rays) - 1))
    down = rays[first:]
    reach = -position[2] / np.minimum(down[..., 2], -1e-4)
    x, y = position[0] + down[..., 0] * reach, position[1] + down[..., 1] * reach
    inside = below[first:] & (np.abs(x) < street.wall + 16) & (np.abs(y) < 130)
    footprint = reach / camera.focal / SUPERSAMPLE * np.clip(reach / position[2], 1, 40)
    soft = np.where(inside, np.maximum(footprint, 0.004), 1).astype(np.float32)
    x, y, reach = (np.where(inside, value, 0).astype(np.float32) for value in (x, y, reach))
    colour = _ground(street, rng, x, y, soft) * np.float32(street.light.shade(np.array([0, 0, 1.0])))
    colour = _mix(colour, 170.0, np.clip(reach / 160, 0, 0.6))  # haze
    image, cover = np.zeros_like(rays), np.zeros(rays.shape[:2], bool)
    image[first:], cover[first:] = colour, inside
    return image, cover


def paint_layers(street: Street, rng: np.random.Generator) -> list[Layer]:
    """Layers from far to near: surroundings (no parallax), ground, then both house fronts."""
    camera, light = street.reference, street.light
    rays = camera.rays(SUPERSAMPLE)
    textures = {side: house_fronts(rng, street.gaps[side]) for side in (-1, 1)}
    ground, inside = _ground_image(street, rng, rays)
    far = np.zeros_like(rays)
    seen = slice(0, int(np.flatnonzero(~inside.all(axis=1)).max(initial=0)) + 1)  # rows not all ground
    far[seen] = _surroundings(street, rng, rays[seen], textures)
    layers = [_layer(camera, far, np.ones(far.shape[:2], np.float32), None, 0.0)]
    layers.append(_layer(camera, ground, inside.astype(np.float32), np.array([0, 0, 1.0]), 0.0))
    for side in (-1, 1):
        wall = _wall_image(rays, camera, side * street.wall, textures[side])
        shade = light.shade(np.array([-side, 0.0, 0.0]))
        layers.append(
            _layer(camera, wall[..., :3] * shade, wall[..., 3] / 255, np.array([1.0, 0, 0]), side * street.wall)
        )
    return layers


def _layer(camera: Camera, colour: Array, cover: Array, normal: Array | None, offset: float) -> Layer:
    premultiplied = np.clip(colour * cover[..., None], 0, 255).astype(np.uint8)
    shares = np.clip(cover * 255, 0, 255).astype(np.uint8)
    small = cv2.resize(premultiplied, camera.canvas, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(shares, camera.canvas, interpolation=cv2.INTER_AREA)
    return Layer(small, mask, normal, offset)


def lay(frame: Array, layer: Layer, reference: Camera, camera: Camera) -> Array:
    """Draw the layer into ``frame`` in place as ``camera`` sees it; returns its (h, w) coverage."""
    matrix = homography(reference, camera, layer.normal, layer.offset)
    size = camera.size
    if layer.normal is None:
        cv2.warpPerspective(layer.colour, matrix, size, dst=frame, borderMode=cv2.BORDER_REPLICATE)
        return np.full(frame.shape[:2], 255, np.uint8)
    if not layer.cover.any():
        return np.zeros(frame.shape[:2], np.uint8)
    left, top, width, height = cv2.boundingRect(layer.cover)
    corners = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]])
    seen = cv2.perspectiveTransform(corners[None].astype(np.float64), matrix)[0]
    x1, y1 = np.clip(np.floor(seen.min(axis=0)).astype(int) - 1, 0, size)
    x2, y2 = np.clip(np.ceil(seen.max(axis=0)).astype(int) + 2, 0, size)
    covered = np.zeros(frame.shape[:2], np.uint8)
    if x2 > x1 and y2 > y1:
        matrix = np.array([[1, 0, -x1], [0, 1, -y1], [0, 0, 1.0]]) @ matrix
        window = (int(x2 - x1), int(y2 - y1))
        colour = cv2.warpPerspective(layer.colour, matrix, window)
        cover = cv2.warpPerspective(layer.cover, matrix, window)
        through = cv2.cvtColor(cv2.bitwise_not(cover), cv2.COLOR_GRAY2BGR)
        region = np.ascontiguousarray(frame[y1:y2, x1:x2])
        frame[y1:y2, x1:x2] = cv2.add(cv2.multiply(region, through, scale=1 / 255), colour)
        covered[y1:y2, x1:x2] = cover
    return covered
