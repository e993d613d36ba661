"""Vehicles: bodies extruded from a side profile, with windows, wheels and lights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.camera import Camera
from qdtrack_model.synthetic.paint import Colour, Drawing, tint, unit_circle

Profile = list[tuple[float, float]]
Corners = list[tuple[float, float, float]]


@dataclass(frozen=True)
class Body:
    """A shape; u runs forward from the middle, z up, both in metres; outlines clockwise seen from the right."""

    length: float
    width: float
    lower: Profile
    cabin: Profile
    glazed: tuple[int, ...]  # edges of the cabin that are glass
    windows: list[Profile]
    wheels: tuple[float, ...]
    wheel_radius: float
    taper: float  # how much narrower the roof is than the belt, as a share

    @property
    def height(self) -> float:
        """Metres."""
        return max(z for _, z in self.lower + self.cabin)


SEDAN = Body(
    4.6, 1.8,
    [(-2.3, 0.35), (-2.3, 0.85), (-2.1, 0.98), (1.0, 0.95), (2.1, 0.78), (2.3, 0.62), (2.3, 0.3)],
    [(-1.75, 0.97), (-1.15, 1.42), (0.3, 1.45), (1.1, 0.95)], (0, 2),
    [
        [(-1.45, 1.0), (-1.05, 1.35), (-0.42, 1.37), (-0.42, 1.0)],
        [(-0.3, 1.0), (-0.3, 1.38), (0.25, 1.38), (0.85, 1.0)],
    ],
    (-1.4, 1.4), 0.33, 0.2,
)  # fmt: skip
HATCH = Body(
    3.9, 1.75,
    [(-1.95, 0.35), (-1.95, 0.9), (-1.9, 1.0), (0.9, 0.98), (1.75, 0.82), (1.95, 0.65), (1.95, 0.3)],
    [(-1.9, 1.0), (-1.6, 1.48), (0.2, 1.5), (1.0, 0.98)], (0, 2),
    [
        [(-1.6, 1.03), (-1.42, 1.4), (-0.45, 1.42), (-0.45, 1.03)],
        [(-0.33, 1.03), (-0.33, 1.43), (0.15, 1.42), (0.75, 1.03)],
    ],
    (-1.25, 1.2), 0.31, 0.16,
)  # fmt: skip
SUV = Body(
    4.5, 1.9,
    [(-2.25, 0.42), (-2.25, 1.05), (-2.2, 1.15), (0.95, 1.12), (2.1, 1.0), (2.25, 0.8), (2.25, 0.4)],
    [(-2.2, 1.14), (-1.95, 1.72), (0.2, 1.75), (1.0, 1.12)], (0, 2),
    [[(-1.95, 1.2), (-1.8, 1.62), (-0.6, 1.65), (-0.6, 1.2)], [(-0.48, 1.2), (-0.48, 1.65), (0.15, 1.65), (0.75, 1.2)]],
    (-1.4, 1.4), 0.38, 0.14,
)  # fmt: skip
VAN = Body(
    5.2, 2.0,
    [(-2.6, 0.4), (-2.6, 1.2), (1.3, 1.2), (2.3, 1.1), (2.6, 0.8), (2.6, 0.35)],
    [(-2.6, 1.2), (-2.55, 2.3), (1.0, 2.35), (1.9, 1.15)], (2,),
    [[(0.1, 1.3), (0.1, 2.0), (0.95, 2.0), (1.45, 1.3)]],
    (-1.6, 1.7), 0.36, 0.07,
)  # fmt: skip
BUS = Body(
    9.5, 2.5,
    [(-4.75, 0.4), (-4.75, 1.25), (4.7, 1.25), (4.75, 0.4)],
    [(-4.75, 1.25), (-4.7, 2.95), (4.6, 2.95), (4.7, 1.25)], (0, 2),
    [[(u, 1.3), (u, 2.4), (u + 1.15, 2.4), (u + 1.15, 1.3)] for u in np.arange(-4.4, 3.4, 1.3).tolist()]
    + [[(3.6, 0.55), (3.6, 2.5), (4.4, 2.5), (4.4, 0.55)]],
    (-2.9, 3.0), 0.46, 0.03,
)  # fmt: skip
BODIES = (SEDAN, HATCH, SUV, VAN, BUS)
PAINTS: list[Colour] = [
    (35, 35, 38), (210, 212, 214), (150, 152, 155), (95, 98, 102), (120, 60, 30), (40, 40, 165), (60, 95, 50),
    (200, 190, 180), (30, 120, 190), (150, 110, 60), (45, 65, 95),
]  # fmt: skip
GLASS: Colour = (62.0, 55.0, 48.0)


@dataclass(frozen=True, eq=False)
class Vehicle:
    """A body with its paint."""

    body: Body
    paint: Colour
    stripe: Colour | None  # along the sides of vans and buses


def draw_vehicle_look(rng: np.random.Generator) -> Vehicle:
    """A random vehicle; mostly cars."""
    body = BODIES[int(rng.choice(len(BODIES), p=[0.3, 0.25, 0.22, 0.15, 0.08]))]
    b, g, r = np.clip(np.array(PAINTS[rng.integers(len(PAINTS))]) * rng.uniform(0.8, 1.15), 10, 235)
    stripe = tuple(float(c) for c in rng.uniform(30, 220, 3)) if body in (VAN, BUS) and rng.random() < 0.7 else None
    return Vehicle(body, (float(b), float(g), float(r)), stripe)  # type: ignore[arg-type]


def _panel(back: float, front: float, side: float, low: float, high: float) -> Corners:
    """A rectangle on one side of the body."""
    return [(back, side, low), (back, side, high), (front, side, high), (front, side, low)]


class _Painter:
    def __init__(self, vehicle: Vehicle, ground: Array, forward: Array, camera: Camera, shade: float, sun: Array,
                 travelled: float) -> None:  # fmt: skip
        self.vehicle, self.body, self.camera, self.shade = vehicle, vehicle.body, camera, shade
        self.ground, self.forward, self.sun, self.travelled = ground, forward, sun, travelled
        self.right = np.array([forward[1], -forward[0], 0.0])
        self.drawing = Drawing()
        self.belt = min(z for _, z in self.body.cabin)

    def half(self, z: Array) -> Array:
        """Half the width at the heights z."""
        top = max(self.body.height - self.belt, 0.1)
        return np.asarray(self.body.width / 2 * (1 - self.body.taper * np.clip((z - self.belt) / top, 0, 1)))

    def world(self, corners: Array) -> Array:
        """(N, 3) world points of (N, 3) u, side (-1 left .. 1 right, a share of half the width), z."""
        across = corners[:, 1] * self.half(corners[:, 2])
        points = self.ground + corners[:, :1] * self.forward + across[:, None] * self.right
        points[:, 2] += corners[:, 2]
        return np.asarray(points)

    def face(self, corners: Corners, colour: Colour, outward: Array, flat: bool = False) -> bool:
        """Fill a planar face when the camera is on its outer side; True when it was drawn."""
        points = self.world(np.array(corners))
        if float((self.camera.position - points[0]) @ outward) <= 0:
            return False
        lit = 1.0 if flat else 0.68 + 0.14 * float(outward[2]) + 0.3 * max(0.0, float(outward @ self.sun))
        self.drawing.fill(self.camera.polygon(points), tint(colour, lit * self.shade))
        return True

    def strips(self, profile: Profile, colours: list[Colour]) -> None:
        """The faces between the left and the right outline, one for each edge."""
        for (a, b), colour in zip(pairwise(profile), colours, strict=True):
            du, dz = b[0] - a[0], b[1] - a[1]
            normal = (-dz * self.forward + np.array([0, 0, du])) / max(np.hypot(du, dz), 1e-6)
            quad = [(a[0], -1.0, a[1]), (b[0], -1.0, b[1]), (b[0], 1.0, b[1]), (a[0], 1.0, a[1])]
            self.face(quad, colour, normal)
            if colour == GLASS:  # a bright reflection at the top of a windscreen
                m = (a[0] + du * 0.6, a[1] + dz * 0.6)
                end = b if b[1] > a[1] else a
                self.face([(m[0], -0.8, m[1]), (m[0], 0.3, m[1]), (end[0], 0.0, end[1]), (end[0], -0.8, end[1])],
                          tint(GLASS, 1.7), normal)  # fmt: skip

    def flank(self, side: float) -> None:
        outward = self.right * side
        body, paint = self.body, self.vehicle.paint
        if not self.face([(u, side, z) for u, z in body.lower], paint, outward):
            return
        low, high = min(z for _, z in body.lower), self.belt
        back, front = body.lower[0][0], body.lower[-1][0]
        self.face(_panel(back, front, side, low, low + 0.16), tint(paint, 0.55), outward)
        self.face(_panel(back + 0.1, front - 0.9, side, high - 0.14, high - 0.08), tint(paint, 1.25), outward)
        if self.vehicle.stripe is not None:
            self.face(_panel(back, front, side, low + 0.3, low + 0.55), self.vehicle.stripe, outward)
        self.face([(u, side, z) for u, z in body.cabin], paint, outward)
        for window in body.windows:
            self.face([(u, side, z) for u, z in window], GLASS, outward)
            first = window[0]
            gleam = [first, window[1], ((window[1][0] + window[2][0]) / 2, window[1][1]), first]
            self.face([(u, side, z) for u, z in gleam], tint(GLASS, 1.5), outward)
        for u in body.wheels:
            self.wheel(u, side, outward)
        for u in (-0.36, 0.92) if len(body.windows) < 3 else ():  # door seams
            self.face(_panel(u - 0.012, u + 0.012, side, low + 0.1, high), tint(paint, 0.5), outward)

    def wheel(self, u: float, side: float, outward: Array) -> None:
        radius = self.body.wheel_radius

        def ring(r: float) -> Corners:
            return [(u + r * x, side, radius + r * y) for x, y in unit_circle(20).tolist()]

        self.face(ring(radius * 1.2)[:11], (22.0, 22.0, 22.0), outward)
        self.face(ring(radius), (32.0, 30.0, 30.0), outward)
        self.face(ring(radius * 0.62), (140.0, 140.0, 142.0), outward)
        roll = -self.travelled / radius
        for spoke in range(5):
            angle = roll + spoke * 2 * np.pi / 5
            reach = 0.58 * radius
            tip = [(u + reach * math.cos(a), side, radius + reach * math.sin(a)) for a in (angle - 0.25, angle + 0.25)]
            self.face([(u, side, radius), *tip], (60.0, 60.0, 62.0), outward)

    def lights(self, end: float) -> None:
        """Lamps, plate and grille at the front (end = 1) or rear (-1)."""
        body = self.body
        u, outward = end * body.length / 2, self.forward * end
        z = min(0.66, self.belt - 0.2)
        colour: Colour = (225.0, 235.0, 235.0) if end > 0 else (35.0, 30.0, 200.0)
        for side in (-1.0, 1.0):
            inner, outer = side * 0.62, side * 0.94
            lamp = [(u, inner, z - 0.08), (u, outer, z - 0.08), (u, outer, z + 0.08), (u, inner, z + 0.06)]
            self.face(lamp, colour, outward, flat=True)
        plate = [(u, -0.28, 0.42), (u, 0.28, 0.42), (u, 0.28, 0.54), (u, -0.28, 0.54)]
        if end > 0:
            grille = [(u, -0.5, z - 0.08), (u, 0.5, z - 0.08), (u, 0.5, z + 0.08), (u, -0.5, z + 0.08)]
            self.face(grille, (30.0, 30.0, 30.0), outward)
        self.face(plate, (215.0, 220.0, 220.0), outward)

    def paint(self) -> Drawing:
        body, colour = self.body, self.vehicle.paint
        floor = min(z for _, z in body.lower)
        for u in body.wheels:  # tyres of the far side, seen under the floor
            for side in (-0.85, 0.85):
                r = body.wheel_radius
                tyre = _panel(u - r * 0.7, u + r * 0.7, side, 0.0, r)
                self.face(tyre, (20.0, 20.0, 20.0), self.right * np.sign(side), flat=True)
        underside = [(body.length / 2, -1.0, floor), (body.length / 2, 1.0, floor),
                     (-body.length / 2, 1.0, floor), (-body.length / 2, -1.0, floor)]  # fmt: skip
        self.face(underside, (20.0, 20.0, 20.0), np.array([0, 0, 1.0]), flat=True)
        self.strips(body.lower, [colour] * (len(body.lower) - 1))
        for end in (-1.0, 1.0):
            self.lights(end)
        self.strips(body.cabin, [GLASS if i in body.glazed else colour for i in range(len(body.cabin) - 1)])
        for side in (-1.0, 1.0):
            self.flank(side)
        return self.drawing


def draw_vehicle(vehicle: Vehicle, ground: Array, forward: Array, camera: Camera, shade: float, sun: Array,
                 travelled: float) -> Drawing:  # fmt: skip
    """The vehicle standing at ``ground`` (3,), heading along ``forward`` (3,), as the camera sees it."""
    return _Painter(vehicle, ground, forward, camera, shade, sun, travelled).paint()
