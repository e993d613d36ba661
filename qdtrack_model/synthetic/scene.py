"""A synthetic street: frames with exact ground truth, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.actors import plan
from qdtrack_model.synthetic.backdrop import lay, paint_layers
from qdtrack_model.synthetic.camera import Camera
from qdtrack_model.synthetic.config import SceneConfig
from qdtrack_model.synthetic.furniture import draw_item, draw_items, tree_patch
from qdtrack_model.synthetic.layout import draw_street
from qdtrack_model.synthetic.paint import COVERED, Drawing, composite, ellipse, hull
from qdtrack_model.synthetic.pedestrians import draw_figure, skeleton
from qdtrack_model.synthetic.vehicles import draw_vehicle

SHADOW_SCALE = 4  # shadows are painted at a quarter of the size: they are soft
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth of one frame, one row for each object whose full extent touches the image.

    Args:
        ids: (N,) int64, from 0, the same for one object in all frames.
        boxes: (N, 4) float64 x1 y1 x2 y2, the object's full extent (hidden parts included) clipped to the image.
        classes: (N,) int64, indices into CLASSES.
        visibilities: (N,) float64, visible part of the whole silhouette, parts outside the image count as hidden.
    """

    ids: Array
    boxes: Array
    classes: Array
    visibilities: Array


@dataclass(frozen=True, eq=False)
class SceneFrame:
    """One image (h, w, 3) BGR uint8, its ground truth, and the (h, w) id buffer: object id + 1, 0 elsewhere."""

    image: Array
    truth: Truth
    silhouettes: Array


@dataclass(frozen=True, eq=False)
class _Placed:
    """Something to draw at one moment."""

    identity: int  # -1: furniture
    kind: int  # index into CLASSES
    footprint: Array  # (4,) x1 y1 x2 y2 on the ground
    drawing: Drawing | None
    patch: tuple[Array, int, int] | None
    motion: Array | None  # pixels during the exposure
    behind: bool  # behind the line of the house fronts


class Scene:
    """All frames of one seed; iterate, or ask for single frames in any order with :meth:`frame`."""

    def __init__(self, config: SceneConfig) -> None:
        self.config = config
        streams = [np.random.default_rng([config.seed, part]) for part in range(5)]
        self.street = draw_street(config, streams[0])
        self.items = draw_items(self.street, streams[1])
        self.people, self.cars = plan(config, self.street, self.items, streams[2])
        self.layers = paint_layers(self.street, streams[3])
        width, height = config.size
        grain = streams[4].normal(size=(height + 256, width + 256, 3)) * self.street.light.noise
        self._noise = np.clip(grain, -60, 60).astype(np.int16)

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[SceneFrame]:
        return (self.frame(index) for index in range(self.config.frames))

    def camera(self, index: int) -> Camera:
        """The camera of a frame (0-based)."""
        return self.street.motion.at(index / self.config.frame_rate)

    @property
    def exposure(self) -> float:
        """Seconds a frame is exposed: what the light asks for, or the time a frame has."""
        return min(self.street.light.shutter, 1 / self.config.frame_rate)

    def frame(self, index: int) -> SceneFrame:
        """Render one frame (0-based)."""
        time, camera = index / self.config.frame_rate, self.camera(index)
        width, height = self.config.size
        image = np.zeros((height, width, 3), np.uint8)
        silhouettes = np.zeros((height, width), np.uint16)
        placed = _in_order(self._place(time, camera), camera)
        fronts = self.layers[2:]
        for layer in self.layers[:2]:
            lay(image, layer, self.street.reference, camera)
        image = self._background_blur(image, time, camera)
        self._shadows(image, time, camera)
        for thing in (p for p in placed if p.behind):
            _draw(image, silhouettes, thing)
        for layer in fronts:
            cover = lay(image, layer, self.street.reference, camera)
            silhouettes[cover > 127] = 0
        for thing in (p for p in placed if not p.behind):
            _draw(image, silhouettes, thing)
        truth = self._truth(placed, silhouettes)
        return SceneFrame(self._develop(image, index), truth, silhouettes)

    # What is where

    def _place(self, time: float, camera: Camera) -> list[_Placed]:
        placed = [self._place_person(number, time, camera, self.exposure) for number in range(len(self.people))]
        placed += [self._place_car(number, time, camera, self.exposure) for number in range(len(self.cars))]
        for item in self.items:
            x, y = item.position[:2]
            footprint = np.array([x - item.half[0], y - item.half[1], x + item.half[0], y + item.half[1]])
            if camera.to_camera(item.position)[2] < 1.0:
                continue
            if item.kind == "tree":
                patch = tree_patch(item, camera, self.street.light)
                placed.append(_Placed(-1, 0, footprint, None, patch, None, False) if patch else None)
            else:
                drawing = draw_item(item, camera, self.street.light)
                placed.append(_Placed(-1, 0, footprint, drawing, None, None, False) if drawing else None)
        return [thing for thing in placed if thing is not None]

    def _motion(self, spots: Array, time: float, exposure: float) -> Array:
        """Image motion during the exposure; spots (2, 3): where a point is at its beginning and end."""
        motion = self.street.motion
        first, _ = motion.at(time - exposure / 2).project(spots[0])
        last, _ = motion.at(time + exposure / 2).project(spots[1])
        moved = np.asarray(last - first)
        return moved * min(1.0, 40.0 / max(float(np.hypot(*moved)), 1e-6))

    def _place_person(self, number: int, time: float, camera: Camera, exposure: float) -> _Placed | None:
        person = self.people[number]
        spots, headings = person.walk.at(np.array([time - exposure / 2, time, time + exposure / 2]))
        ground = np.array([*spots[1], 0.0])
        depth = float(camera.to_camera(ground + UP)[2])
        if depth < 2.0 or camera.focal * person.figure.height / depth < 6:
            return None
        heading = np.array([*headings[1], 0.0])
        joints = skeleton(person.figure, ground, heading, person.gait(time), person.walk.speed)
        brightness = 0.9 * self.street.light.shade(UP) * float(self._cloud(np.array(spots[1, 0]), time))
        drawing = draw_figure(person.figure, joints, heading, camera, brightness)
        waist = np.array([[*spots[0], 1.0], [*spots[2], 1.0]])
        footprint = np.array([*(spots[1] - 0.22), *(spots[1] + 0.22)])
        behind = abs(float(spots[1, 0])) > self.street.wall
        return _Placed(number, 0, footprint, drawing, None, self._motion(waist, time, exposure), behind)

    def _place_car(self, number: int, time: float, camera: Camera, exposure: float) -> _Placed | None:
        car = self.cars[number]
        x, y = car.at(time)
        half_length, half_width = car.look.body.length / 2, car.look.body.width / 2
        ground, forward = np.array([x, y, 0.0]), np.array([0.0, car.heading, 0.0])
        depths = [float(camera.to_camera(ground + forward * u + UP)[2]) for u in (-half_length, half_length)]
        if max(depths) < 2.0:
            return None
        light = self.street.light
        shade = (0.85 + 0.25 * light.strength) * float(self._cloud(np.array(x), time))
        drawing = draw_vehicle(car.look, ground, forward, camera, shade, light.sun * light.strength, car.speed * time)
        if not drawing.polygons:
            return None
        shift = np.array([0, car.speed * exposure / 2, 0])
        middle = np.array([x, y, 0.8])
        motion = self._motion(np.stack([middle - shift, middle + shift]), time, exposure) if min(depths) > 1 else None
        footprint = np.array([x - half_width, y - half_length, x + half_width, y + half_length])
        return _Placed(len(self.people) + number, 1, footprint, drawing, None, motion, False)

    def _truth(self, placed: list[_Placed], silhouettes: Array) -> Truth:
        width, height = self.config.size
        visible = np.bincount(silhouettes.ravel(), minlength=len(self.people) + len(self.cars) + 1)
        rows: list[tuple[int, Array, int, float]] = []
        for thing in placed:
            if thing.identity < 0 or thing.drawing is None:
                continue
            full = thing.drawing.bounds()
            box = np.clip(full, 0, [width, height, width, height])
            if box[2] - box[0] < 1 or box[3] - box[1] < 1:
                continue
            share = float(visible[thing.identity + 1]) / max(thing.drawing.area(), 1.0)
            rows.append((thing.identity, box, thing.kind, min(share, 1.0)))
        rows.sort(key=lambda row: row[0])
        return Truth(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.float64).reshape(-1, 4),
            np.array([row[2] for row in rows], np.int64),
            np.array([row[3] for row in rows], np.float64),
        )

    # Light and sensor

    def _cloud(self, where: Array, time: float) -> Array:
        """Brightness factor of a cloud's shadow that passes across the street."""
        depth, speed, phase, width = self.street.light.cloud
        wave = np.sin((where / 14.0 + speed * time * 6 + phase) / width)
        return np.asarray(1 - depth * self.street.light.strength * np.clip(wave, 0, 1))

    def _background_blur(self, image: Array, time: float, camera: Camera) -> Array:
        ahead = camera.position + camera.rotation[2] * 15
        moved = np.abs(self._motion(np.stack([ahead, ahead]), time, self.exposure))
        across, down = (int(m) // 2 * 2 + 1 if m > 1.5 else 1 for m in moved)
        return cv2.blur(image, (across, down)) if across > 1 or down > 1 else image

    def _shadows(self, image: Array, time: float, camera: Camera) -> None:
        """Contact and sun shadows on the ground, and the shadow of a passing cloud."""
        height, width = image.shape[0] // SHADOW_SCALE, image.shape[1] // SHADOW_SCALE
        contact, cast = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
        light = self.street.light
        reach = -light.sun[:2] / max(light.sun[2], 0.2)
        footprints: list[tuple[Array, float]] = []
        for person in self.people:
            spot, _ = person.walk.at(time)
            footprints.append((ellipse(spot, 0.26, 0.26, points=10), person.figure.height))
        for car in self.cars:
            x, y = car.at(time)
            w, half = car.look.body.width / 2, car.look.body.length / 2
            footprints.append((np.array([[x - w, y - half], [x + w, y - half], [x + w, y + half], [x - w, y + half]]),
                               car.look.body.height * 0.85))  # fmt: skip
        for item in self.items:
            if item.kind != "tree":
                footprints.append((ellipse(item.position[:2], *item.half, points=10), item.height))
            else:
                crown = item.position[:2] + reach * item.height * 0.7
                self._ground(cast, ellipse(crown, item.height * 0.26, item.height * 0.26), camera)
        for base, tall in footprints:
            self._ground(contact, base, camera)
            tip = base * 0.9 + base.mean(axis=0) * 0.1 + reach * tall
            self._ground(cast, hull(np.concatenate([base, tip])), camera)
        contact = cv2.GaussianBlur(contact, (0, 0), 1.6)
        factor = 1 - contact * (0.45 / 255) - cv2.GaussianBlur(cast, (0, 0), 0.8) * (0.5 * light.strength / 255)
        factor = factor * self._cloud(np.linspace(-12, 12, width)[None, :], time)
        full = cv2.resize(np.clip(factor * 255, 0, 255).astype(np.uint8), (image.shape[1], image.shape[0]))
        cv2.multiply(image, cv2.cvtColor(full, cv2.COLOR_GRAY2BGR), dst=image, scale=1 / 255)

    def _ground(self, mask: Array, outline: Array, camera: Camera) -> None:
        points = camera.polygon(np.column_stack([outline, np.zeros(len(outline))]))
        if points is not None and np.abs(points).max() < 1e5:
            cv2.fillPoly(mask, [np.rint(points / SHADOW_SCALE * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)

    def _develop(self, image: Array, index: int) -> Array:
        """Optics' blur, gain and gamma of the moment, sensor noise."""
        light, time = self.street.light, index / self.config.frame_rate
        image = cv2.GaussianBlur(image, (0, 0), light.softness)
        amplitude, rate, phase = light.gain
        gain = 1 + amplitude * np.sin(rate * time + phase)
        base, sway, speed = light.gamma
        curve = (np.arange(256) / 255.0) ** (base + sway * np.sin(speed * time))
        table = np.clip(curve[:, None] * gain * light.tint[None] * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table[:, None, :])
        rng = np.random.default_rng([self.config.seed, 99, index])
        top, left = rng.integers(0, 256, 2)
        grain = self._noise[top : top + image.shape[0], left : left + image.shape[1]]
        return cv2.add(image, grain, dtype=cv2.CV_8U)


def _draw(image: Array, silhouettes: Array, thing: _Placed) -> None:
    height, width = image.shape[:2]
    if thing.patch is not None:
        patch, left, top = thing.patch
        motion = None
    else:
        assert thing.drawing is not None
        motion = thing.motion
        pad = 2 + (int(np.abs(motion).max() / 2) + 1 if motion is not None else 0)
        x1, y1, x2, y2 = thing.drawing.bounds()
        left, top = max(int(np.floor(x1)) - pad, 0), max(int(np.floor(y1)) - pad, 0)
        right, bottom = min(int(np.ceil(x2)) + pad, width), min(int(np.ceil(y2)) + pad, height)
        if right - left < 1 or bottom - top < 1:
            return
        patch = thing.drawing.rasterise(left, top, right - left, bottom - top)
    region = silhouettes[top : top + patch.shape[0], left : left + patch.shape[1]]
    region[patch[..., 3] > COVERED] = thing.identity + 1
    composite(image, patch, left, top, motion)


def _in_order(things: list[_Placed], camera: Camera) -> list[_Placed]:
    """From far to near: what may hide another thing is drawn after it (footprints are boxes along the street)."""
    if not things:
        return things
    boxes = np.stack([thing.footprint for thing in things])
    eye = camera.position[:2]
    before = np.zeros((len(things), len(things)), bool)  # [a, b]: a must be drawn before b
    for axis in (0, 1):
        low, high = boxes[:, axis], boxes[:, axis + 2]
        # b lies beyond a plane that has a and the eye on its one side: b cannot hide a.
        beyond = ((low[None, :] >= high[:, None]) & (eye[axis] <= low[None, :])) | (
            (high[None, :] <= low[:, None]) & (eye[axis] >= high[None, :])
        )
        before |= beyond.T
    both = before & before.T  # neither hides the other
    before &= ~both
    distance = np.hypot(*((boxes[:, :2] + boxes[:, 2:]) / 2 - eye).T)
    left = np.ones(len(things), bool)
    order: list[_Placed] = []
    while left.any():
        free = left & ~(before[left].any(axis=0))
        candidates = np.flatnonzero(free if free.any() else left)
        chosen = int(candidates[distance[candidates].argmax()])
        order.append(things[chosen])
        left[chosen] = False
    return order
