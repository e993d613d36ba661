"""Textures of the house fronts along one side of a street."""

from __future__ import annotations

import cv2
import numpy as np

from qdtrack_model.structures import Array

METRE = 44  # texture pixels
START, END = -45.0, 95.0  # y range in metres
TALLEST = 17.0  # metres

PLASTER = [(170, 190, 205), (150, 170, 200), (190, 200, 205), (140, 160, 175), (160, 180, 170), (185, 175, 165)]
BRICK = [(75, 90, 140), (90, 105, 150), (100, 110, 125), (70, 85, 115), (120, 125, 130)]


def noise(rng: np.random.Generator, size: int = 512, octaves: int = 6) -> Array:
    """(size, size) float32 tileable noise of several scales, roughly -1..1."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = 2 ** (octave + 2)
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        padded = np.pad(coarse, 4, mode="wrap")
        factor = size // cells
        fine = cv2.resize(padded, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        edge = 4 * factor
        total += fine[edge : edge + size, edge : edge + size] * 0.75**octave
    return np.asarray(total / np.abs(total).max() * 1.6, np.float32)


def _window(image: Array, rng: np.random.Generator, box: tuple[int, int, int, int], frame: tuple[int, ...]) -> None:
    x, y, w, h = box
    cv2.rectangle(image, (x - 3, y - 3), (x + w + 3, y + h + 3), frame, -1)
    glass = rng.uniform(25, 80)
    ramp = np.linspace(1.6, 0.8, h)[:, None, None] * np.array([1.15, 1.05, 0.95]) * glass
    image[y : y + h, x : x + w] = np.clip(ramp, 0, 255)
    if rng.random() < 0.5:  # a blind or a curtain
        drop = int(h * rng.uniform(0.15, 0.8))
        image[y : y + drop, x : x + w] = rng.uniform(120, 200) * np.array([0.92, 0.97, 1.0])
    cv2.line(image, (x + w // 2, y), (x + w // 2, y + h), frame, 3)
    if h > 60:
        cv2.line(image, (x, y + h // 3), (x + w, y + h // 3), frame, 2)
    cv2.rectangle(image, (x - 6, y + h + 3), (x + w + 6, y + h + 9), tuple(int(c * 0.8) for c in frame), -1)


def _shop(image: Array, rng: np.random.Generator, x: int, width: int, ground: int, floor: int) -> None:
    """A ground floor: shop windows, a door, a sign, perhaps an awning."""
    height = image.shape[0]
    top = height - floor
    colour = tuple(int(c) for c in rng.uniform(30, 150, 3))
    cv2.rectangle(image, (x, top), (x + width, height), tuple(int(c * 0.7) for c in colour), -1)
    step = int(METRE * rng.uniform(2.0, 3.2))
    for left in range(x + 12, x + width - step // 2, step):
        right = min(left + step - 14, x + width - 10)
        door = rng.random() < 0.3
        bottom = height if door else height - int(0.45 * METRE)
        inside = rng.uniform(25, 70)
        cv2.rectangle(image, (left, top + 26), (right, bottom), (inside, inside * 1.05, inside * 1.1), -1)
        for _ in range(12):  # goods and lamps behind the glass
            px, py = int(rng.integers(left, max(right, left + 1))), int(rng.integers(top + 30, height - 10))
            shade = tuple(int(c) for c in rng.uniform(25, 120) * rng.uniform(0.75, 1.25, 3))
            extent = int(rng.uniform(4, 22))
            cv2.rectangle(image, (px, py), (min(px + extent, right), min(py + extent, bottom)), shade, -1)
        cv2.rectangle(image, (left, top + 26), (right, bottom), (35, 35, 38), 4)
    sign = tuple(int(c) for c in rng.uniform(25, 150) * rng.uniform(0.5, 1.5, 3))
    cv2.rectangle(image, (x + 4, top - 4), (x + width - 4, top + 22), sign, -1)
    letter = (240, 240, 240) if sum(sign) < 380 else (20, 20, 20)
    for px in range(x + 20, x + width - 30, 15):
        if rng.random() < 0.6:
            cv2.rectangle(image, (px, top + 3), (px + int(rng.uniform(4, 10)), top + 15), letter, -1)
    if rng.random() < 0.5:
        stripes = [tuple(int(c) for c in rng.uniform(40, 220, 3)), (225, 228, 230)]
        for index, px in enumerate(range(x + 6, x + width - 16, 16)):
            cv2.rectangle(image, (px, top + 22), (px + 16, top + 22 + int(0.7 * METRE)), stripes[index % 2], -1)
    cv2.rectangle(image, (x, height - 8), (x + width, height), (50, 50, 52), -1)


def _house(image: Array, rng: np.random.Generator, x: int, width: int, tall: int) -> None:
    height = image.shape[0]
    brick = rng.random() < 0.45
    palette = BRICK if brick else PLASTER
    base = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.75, 1.1)
    wall = np.empty((tall, width, 3), np.float32)
    wall[:] = base
    if brick:
        rows, columns = np.arange(tall)[:, None] // 5, np.arange(width)[None, :]
        tone = rng.normal(size=(tall // 5 + 1, width // 11 + 2)) * 9
        wall += tone[rows, (columns + rows % 2 * 5) // 11][..., None]
        wall[::5] *= 1.13
    wall *= np.linspace(1.06, 0.9, tall)[:, None, None]
    image[height - tall :, x : x + width] = np.clip(wall, 0, 255)
    floor, first = int(rng.uniform(2.9, 3.5) * METRE), int(rng.uniform(3.2, 4.2) * METRE)
    wide, high = int(rng.uniform(0.9, 1.7) * METRE), int(rng.uniform(1.3, 2.0) * METRE)
    pitch = int(wide * rng.uniform(1.5, 2.4))
    frame = (225, 228, 230) if rng.random() < 0.6 else (60, 62, 66)
    top = height - first - floor
    while top > height - tall + 10:
        cv2.line(image, (x, top + floor), (x + width, top + floor), tuple(float(c) * 0.8 for c in base), 4)
        for left in range(x + (width % pitch + pitch - wide) // 2, x + width - wide, pitch):
            if top + floor // 5 + high < height - first + 20:
                _window(image, rng, (left, top + floor // 5, wide, high), frame)
        top -= floor
    cv2.rectangle(image, (x, height - tall), (x + width, height - tall + 14), tuple(float(c) * 0.65 for c in base), -1)
    _shop(image, rng, x, width, height, first)
    cv2.line(image, (x, height - tall), (x, height), tuple(float(c) * 0.55 for c in base), 5)


def house_fronts(rng: np.random.Generator, gaps: list[tuple[float, float]]) -> Array:
    """(h, w, 4) uint8: columns are y from START to END, the last row is the pavement; alpha 0 where there is sky."""
    width, height = int((END - START) * METRE), int(TALLEST * METRE)
    image = np.zeros((height, width, 3), np.uint8)
    cover = np.zeros((height, width), np.uint8)
    x = 0
    while x < width - 2 * METRE:
        wide = min(int(rng.uniform(8, 15) * METRE), width - x)
        tall = int(rng.uniform(7.5, TALLEST - 0.3) * METRE)
        _house(image, rng, x, wide, tall)
        cover[height - tall :, x : x + wide] = 255
        x += wide
    grime = cv2.resize(noise(rng), None, fx=4, fy=2)
    grime = np.tile(grime, (1, width // grime.shape[1] + 1))[:height, :width]
    image = np.clip(image * (1 + 0.09 * grime[..., None]), 0, 255).astype(np.uint8)
    for low, high in gaps:
        cover[:, int((low - START) * METRE) : int((high - START) * METRE)] = 0
    return np.dstack([image, cover])
