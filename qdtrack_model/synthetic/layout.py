"""Where things are in a street, and how its light falls: drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.camera import Camera, CameraMotion, draw_motion, turning
from qdtrack_model.synthetic.config import SceneConfig


@dataclass(frozen=True, eq=False)
class Light:
    """Sun, sky and the camera's response to them."""

    sun: Array  # (3,) unit vector towards the sun
    strength: float  # 0 overcast .. 1 clear
    tint: Array  # (3,) BGR factors of the sunlight
    gain: Array  # (3,): amplitude, rate, phase of the slow gain drift
    gamma: Array  # (3,): base, amplitude, rate
    cloud: Array  # (4,): depth 0..1, speed in image widths per second, phase, width
    noise: float  # standard deviation of the sensor noise in grey values
    softness: float  # standard deviation of the optics' blur in pixels
    shutter: float  # exposure in seconds

    def shade(self, normal: Array) -> float:
        """Brightness of a face with the given world normal."""
        lit = max(0.0, float(normal @ self.sun))
        return 0.62 + 0.1 * float(normal[2]) + self.strength * 0.42 * lit


@dataclass(frozen=True, eq=False)
class Street:
    """Measures in metres; the street runs along y, its middle is x = 0."""

    road: float  # half width of the carriageway
    wall: float  # distance of the facades from the middle
    zebra: float  # y where the crossing starts
    gaps: dict[int, list[tuple[float, float]]]  # side (-1, 1) -> side streets as y ranges
    light: Light
    motion: CameraMotion
    reference: Camera

    @property
    def camera(self) -> Camera:
        """The base pose."""
        return self.motion.base


def _draw_light(rng: np.random.Generator) -> Light:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.15)
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    strength = float(rng.choice([0.0, 0.35, 0.7, 1.0], p=[0.25, 0.2, 0.25, 0.3]))
    warmth = rng.uniform(-0.06, 0.1)
    return Light(
        sun=sun,
        strength=strength,
        tint=np.array([1 - warmth, 1.0, 1 + warmth]) * rng.uniform(0.98, 1.32),
        gain=np.array([rng.uniform(0.02, 0.09), rng.uniform(0.25, 0.8), rng.uniform(0, 6.28)]),
        gamma=np.array([rng.uniform(0.72, 1.05), rng.uniform(0.0, 0.05), rng.uniform(0.2, 0.6)]),
        cloud=np.array([rng.uniform(0, 0.35), rng.uniform(0.03, 0.15), rng.uniform(0, 3), rng.uniform(0.4, 1.0)]),
        noise=float(rng.uniform(0.8, 4.5)),
        softness=float(rng.uniform(0.5, 0.95)),
        shutter=float(rng.uniform(0.15, 0.6) / 25),
    )


def _draw_camera(rng: np.random.Generator, size: tuple[int, int], road: float, wall: float) -> tuple[Camera, int]:
    """A camera at the left of the street; the layout is mirrored by the caller's side."""
    width, height = size
    side = int(rng.choice([-1, 1]))
    focal = width * float(rng.uniform(0.68, 0.98))
    kind = rng.choice(["along", "diagonal", "across"], p=[0.3, 0.45, 0.25])
    low, high = {"along": (-5, 18), "diagonal": (20, 50), "across": (50, 72)}[str(kind)]
    across = float(rng.uniform(-road, road * 0.2) if kind == "along" else rng.uniform(-wall + 0.3, -road))
    lift = float(rng.uniform(1.7, 3.2) if rng.random() < 0.4 else rng.uniform(3.0, 6.0))
    horizon = rng.uniform(0.2, 0.36) if lift > 3 else rng.uniform(0.3, 0.42)
    pitch = float(np.arctan2((0.5 - horizon) * height, focal))
    yaw = float(np.radians(rng.uniform(low, high)))
    return Camera(np.array([-side * across, 0.0, lift]), -side * yaw, pitch, rng.normal() * 0.006, focal, size), side


def draw_street(config: SceneConfig, rng: np.random.Generator) -> Street:
    """The street of one seed."""
    road, pavement = float(rng.uniform(3.4, 5.4)), float(rng.uniform(3.2, 5.5))
    wall = road + pavement
    camera, _ = _draw_camera(rng, config.size, road, wall)
    gaps: dict[int, list[tuple[float, float]]] = {}
    for side in (-1, 1):
        start = float(rng.uniform(6, 20))
        gaps[side] = [(start, start + float(rng.uniform(5, 8)))]
        if rng.random() < 0.6:
            start += float(rng.uniform(18, 30))
            gaps[side].append((start, start + float(rng.uniform(5, 8))))
    motion = draw_motion(rng, camera, config.frames, config.frame_rate)
    width, height = config.size
    margin = (round(width * 0.16), round(height * 0.16))
    if config.camera == "turning":
        motion = turning(motion, np.random.default_rng([config.seed, 98]))  # of its own: the street stays the same
        margin = (round(width * 0.4), round(height * 0.24))
    reference = Camera(camera.position, camera.yaw, camera.pitch, camera.roll, camera.focal, camera.size, margin)
    return Street(road, wall, float(rng.uniform(9, 20)), gaps, _draw_light(rng), motion, reference)
