"""Who moves where: walks and drives through the street, planned so that nobody passes through anybody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.clothing import Outfit, cloth_grain, draw_outfit, look_alike, torso_texture
from qdtrack_model.synthetic.config import SceneConfig
from qdtrack_model.synthetic.furniture import Item
from qdtrack_model.synthetic.layout import Street
from qdtrack_model.synthetic.pedestrians import Figure, stride
from qdtrack_model.synthetic.vehicles import BUS, VAN, Vehicle, draw_vehicle_look

STEP = 0.2  # seconds between the moments at which distances are checked
NEAREST = 4.4  # metres between the camera and anybody


@dataclass(frozen=True, eq=False)
class Walk:
    """A way over the ground at constant speed, ``side`` metres to the left of ``path``."""

    path: Array  # (K, 2) metres
    lengths: Array  # (K,) distance from the first point
    start: float  # distance at time 0
    speed: float  # metres per second
    side: float
    sway: Array  # (3,): amplitude, wave number, phase of the lateral wobble
    phase: float

    def at(self, time: float | Array) -> tuple[Array, Array]:
        """(..., 2) position and (..., 2) unit heading at ``time`` seconds."""
        distance = self.start + self.speed * np.asarray(time)
        ahead, behind = self._point(distance + 0.3), self._point(distance - 0.3)
        heading = (ahead - behind) / (np.linalg.norm(ahead - behind, axis=-1, keepdims=True) + 1e-9)
        left = np.stack([-heading[..., 1], heading[..., 0]], axis=-1)
        shift = self.side + self.sway[0] * np.sin(self.sway[1] * distance + self.sway[2])
        return self._point(distance) + left * shift[..., None], heading

    def _point(self, distance: Array) -> Array:
        return np.stack([np.interp(distance, self.lengths, self.path[:, axis]) for axis in (0, 1)], axis=-1)


@dataclass(frozen=True, eq=False)
class Pedestrian:
    """A figure on its walk."""

    figure: Figure
    walk: Walk

    def gait(self, time: float) -> float:
        """Phase of the step in radians."""
        return self.walk.phase + 2 * np.pi * self.walk.speed * time / stride(self.figure.height, self.walk.speed)


@dataclass(frozen=True, eq=False)
class Car:
    """A vehicle in a lane; parked when its speed is 0."""

    look: Vehicle
    x: float
    y: float  # at time 0
    speed: float  # along y, metres per second
    heading: float  # +1 or -1 along y

    def at(self, time: float | Array) -> Array:
        """(..., 2) position of the middle."""
        y = self.y + self.speed * np.asarray(time)
        return np.stack([np.full_like(y, self.x), y], axis=-1)


def _path(points: list[tuple[float, float]]) -> tuple[Array, Array]:
    """A way with rounded corners (Chaikin 1974) and its lengths."""
    path = np.array(points, np.float64)
    for _ in range(2 if len(points) > 2 else 0):
        a, b = path[:-1], path[1:]
        length = np.linalg.norm(b - a, axis=1, keepdims=True)
        cut = np.minimum(0.25, 1.2 / np.maximum(length, 1e-6))
        inner = np.stack([a + (b - a) * cut, b - (b - a) * cut], axis=1).reshape(-1, 2)
        path = np.concatenate([path[:1], inner[1:-1], path[-1:]])
    return path, np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])


class Planner:
    """Draws walks and drives one after another and keeps those that keep their distance."""

    def __init__(self, config: SceneConfig, street: Street, items: list[Item], rng: np.random.Generator) -> None:
        self.config, self.street, self.rng = config, street, rng
        self.times = np.arange(0, max(config.duration, STEP) + STEP, STEP)
        self.cars: list[Car] = []
        self.people: list[Pedestrian] = []
        self.tracks: list[Array] = []  # (T, 2) of every planned pedestrian
        self.posts = np.array([[*item.position[:2], max(item.half)] for item in items]).reshape(-1, 3)
        self.models = [draw_outfit(rng) for _ in range(3)]

    def _seen_spot(self) -> Array:
        """A ground point in view at which a person is mostly 60 to 250 pixels tall."""
        camera, rng = self.street.camera, self.rng
        scale = self.config.size[1] / 720
        tall = float(np.exp(rng.uniform(np.log(60), np.log(260)) if rng.random() < 0.88 else rng.uniform(3.7, 5.8)))
        depth = camera.focal * 1.7 / (tall * scale)
        ahead = np.array([np.sin(camera.yaw), np.cos(camera.yaw)])
        right = np.array([ahead[1], -ahead[0]])
        across = rng.uniform(-0.47, 0.47) * camera.size[0] / camera.focal * depth
        return np.asarray(camera.position[:2] + ahead * depth + right * across)

    # Vehicles

    def add_car(self, parked: bool) -> None:
        """Put one vehicle into a lane, or at the kerb; leaves it out when there is no room."""
        street, rng = self.street, self.rng
        for _ in range(200):
            look = draw_vehicle_look(rng)
            side = float(rng.choice([-1, 1]))
            spot, when = self._seen_spot(), rng.uniform(0, self.config.duration)
            if parked:
                if look.body is BUS or street.road < 4.2:
                    continue
                car = Car(look, side * (street.road - 1.15), float(spot[1]), 0.0, side)
            else:
                lane = street.road / 2 if street.road < 4.2 else street.road * 0.5 - 0.9
                lane = max(lane, 1.45)
                # Everybody in a lane keeps its speed, so that nobody runs into anybody.
                others = [c for c in self.cars if c.speed and np.sign(c.x) == side]
                speed = abs(others[0].speed) if others else float(rng.uniform(3.5, 9.0))
                car = Car(look, side * lane, float(spot[1] - side * speed * when), side * speed, side)
            if self._car_fits(car, parked):
                self.cars.append(car)
                return

    def _car_fits(self, car: Car, parked: bool) -> bool:
        track, half = car.at(self.times), car.look.body.length / 2
        camera = self.street.camera.position[:2]
        gap = np.hypot(track[:, 0] - camera[0], np.maximum(np.abs(track[:, 1] - camera[1]) - half, 0))
        if gap.min() < (7.5 if car.look.body in (BUS, VAN) or parked else 4.5):
            return False
        if parked and abs(car.y - self.street.zebra - 1.8) < 3.5 + half:
            return False
        for other in self.cars:
            length = half + other.look.body.length / 2 + (1.0 if parked else 4.0)
            width = (car.look.body.width + other.look.body.width) / 2 + 0.15
            apart = np.abs(track - other.at(self.times))
            if ((apart[:, 0] < width) & (apart[:, 1] < length)).any():
                return False
        return True

    # Pedestrians

    def _draw_way(self, spot: Array) -> list[tuple[float, float]]:
        """Points of a way that leads through ``spot`` or near it."""
        street, rng = self.street, self.rng
        side = 1.0 if spot[0] > 0 else -1.0
        lane = float(rng.uniform(street.road + 1.25, street.wall - 0.55))
        far = float(rng.choice([-1, 1])) * 90
        kind = rng.random()
        if kind < 0.24 or abs(spot[0]) < street.road:  # over the crossing
            y = street.zebra + float(rng.uniform(0.4, 3.2))
            other = float(rng.uniform(street.road + 1.25, street.wall - 0.55))
            return [(side * lane, -far), (side * lane, y), (-side * other, y), (-side * other, far)]
        if kind < 0.36:  # out of (or into) a side street
            low, high = street.gaps[int(side)][int(rng.integers(len(street.gaps[int(side)])))]
            y = float(rng.uniform(low + 0.8, high - 0.8))
            points = [(side * (street.wall + 30), y), (side * lane, y), (side * lane, far)]
            return points if rng.random() < 0.5 else points[::-1]
        return [(side * lane, -far), (side * lane, far)]

    def _draw_walk(self) -> Walk | None:
        street, rng = self.street, self.rng
        spot = self._seen_spot()
        if abs(spot[0]) > street.wall + 6:
            return None
        path, lengths = _path(self._draw_way(spot))
        dense = np.arange(0, lengths[-1], 0.25)
        points = np.stack([np.interp(dense, lengths, path[:, axis]) for axis in (0, 1)], axis=1)
        gap = np.hypot(*(points - spot).T)
        if gap.min() > street.wall - street.road:
            return None
        here, when = float(dense[gap.argmin()]), float(rng.uniform(0, self.config.duration))
        style = rng.random()
        standing = style < 0.1 and abs(points[gap.argmin(), 0]) > street.road + 0.8
        speed = 0.0 if standing else float(rng.uniform(2.3, 3.2) if style > 0.95 else rng.uniform(0.85, 1.65))
        sway = np.array([rng.uniform(0, 0.15), rng.uniform(0.2, 0.6), rng.uniform(0, 6.28)])
        return Walk(path, lengths, here - speed * when, speed, 0.0, sway, float(rng.uniform(0, 2 * np.pi)))

    def _walk_fits(self, walk: Walk) -> bool:
        track, _ = walk.at(self.times)
        if np.hypot(*(track - self.street.camera.position[:2]).T).min() < NEAREST:
            return False
        if len(self.posts):
            apart = np.hypot(track[:, None, 0] - self.posts[None, :, 0], track[:, None, 1] - self.posts[None, :, 1])
            if (apart - self.posts[None, :, 2] < 0.3).any():
                return False
        if any(np.hypot(*(track - other).T).min() < 0.5 for other in self.tracks):
            return False
        for car in self.cars:
            apart = np.abs(track - car.at(self.times))
            body = car.look.body
            if ((apart[:, 0] < body.width / 2 + 0.4) & (apart[:, 1] < body.length / 2 + 0.7)).any():
                return False
        return True

    def _dress(self, outfit: Outfit) -> Figure:
        rng = self.rng
        child = rng.random() < 0.07
        height = float(rng.uniform(1.1, 1.4) if child else np.clip(rng.normal(1.72, 0.09), 1.45, 1.95))
        return Figure(height, outfit, torso_texture(rng, outfit), cloth_grain(rng), float(rng.uniform(0.5, 1.0)))

    def _outfit(self) -> Outfit:
        if self.rng.random() < 0.45:
            return look_alike(self.rng, self.models[self.rng.integers(len(self.models))])
        return draw_outfit(self.rng)

    def add_person(self, room: int) -> int:
        """Plan one pedestrian, or a pair side by side where there is ``room``; returns how many were planned."""
        walk = next((w for _ in range(300) if (w := self._draw_walk()) is not None and self._walk_fits(w)), None)
        if walk is None:
            return 0
        outfit = self._outfit()
        self._keep(Pedestrian(self._dress(outfit), walk))
        if room > 1 and self.rng.random() < 0.3:
            side = float(self.rng.choice([-1, 1]) * self.rng.uniform(0.62, 0.8))
            phase = float(self.rng.uniform(0, 2 * np.pi))
            mate = Walk(walk.path, walk.lengths, walk.start + float(self.rng.uniform(-0.3, 0.3)), walk.speed, side,
                        walk.sway, phase)  # fmt: skip
            if self._walk_fits(mate):
                same = self.rng.random() < 0.35
                self._keep(Pedestrian(self._dress(look_alike(self.rng, outfit) if same else self._outfit()), mate))
                return 2
        return 1

    def _keep(self, person: Pedestrian) -> None:
        self.people.append(person)
        self.tracks.append(person.walk.at(self.times)[0])


def plan(
    config: SceneConfig, street: Street, items: list[Item], rng: np.random.Generator
) -> tuple[list[Pedestrian], list[Car]]:
    """Everybody who moves (or waits, or is parked) in the scene."""
    planner = Planner(config, street, items, rng)
    vehicles, pedestrians = config.vehicles, config.pedestrians
    for number in range(vehicles):
        planner.add_car(parked=number % 3 == 2)
    for number in range(vehicles - len(planner.cars)):
        planner.add_car(parked=number % 2 == 0)
    while len(planner.people) < pedestrians:
        if not planner.add_person(pedestrians - len(planner.people)):
            break
    return planner.people, planner.cars
