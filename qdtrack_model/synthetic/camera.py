"""A pinhole camera that moves gently over a street.

World: x across the street (right), y along it, z up, metres. Camera: REP-103 optical frame (x right, y down, z
forward). Image coordinates are edges, not pixel indices: the image spans (0, 0) to (width, height).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qdtrack_model.structures import Array

TURN = np.radians(14.0)  # how far a turning camera turns to either side
_TURN_RATE = np.radians(20.0)  # radians per second, in the middle
_SHAKE = np.radians([0.25, 0.35, 0.15])  # standard deviations of yaw, pitch and roll, from frame to frame
NEAR = 0.4  # metres in front of the camera where drawing starts


@dataclass(frozen=True, eq=False)
class Camera:
    """One pose; ``margin`` pixels are added on every side of the image (used for reference views)."""

    position: Array  # (3,) metres
    yaw: float  # radians from +y towards +x
    pitch: float  # radians, positive looks down
    roll: float
    focal: float  # pixels
    size: tuple[int, int]
    margin: tuple[int, int] = (0, 0)

    @cached_property
    def rotation(self) -> Array:
        """(3, 3): world to camera; rows are the camera's right, down and forward."""
        sy, cy, sp, cp = np.sin(self.yaw), np.cos(self.yaw), np.sin(self.pitch), np.cos(self.pitch)
        right, down = np.array([cy, -sy, 0.0]), np.array([-sy * sp, -cy * sp, -cp])
        sr, cr = np.sin(self.roll), np.cos(self.roll)
        return np.stack([cr * right + sr * down, cr * down - sr * right, np.array([sy * cp, cy * cp, -sp])])

    @cached_property
    def intrinsics(self) -> Array:
        """(3, 3) camera matrix, margin included."""
        width, height = self.size
        cx, cy = width / 2 + self.margin[0], height / 2 + self.margin[1]
        return np.array([[self.focal, 0, cx], [0, self.focal, cy], [0, 0, 1.0]])

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height with the margins."""
        return self.size[0] + 2 * self.margin[0], self.size[1] + 2 * self.margin[1]

    def to_camera(self, points: Array) -> Array:
        """(..., 3) world points in camera coordinates."""
        return (points - self.position) @ self.rotation.T

    def to_image(self, points: Array) -> Array:
        """(..., 2) image coordinates of (..., 3) camera points; depths below NEAR are taken as NEAR."""
        centre = self.intrinsics[:2, 2]
        return points[..., :2] / np.maximum(points[..., 2:], NEAR) * self.focal + centre

    def project(self, points: Array) -> tuple[Array, Array]:
        """(..., 2) image coordinates and (...,) depths of (..., 3) world points."""
        seen = self.to_camera(np.asarray(points, np.float64))
        return self.to_image(seen), seen[..., 2]

    def polygon(self, points: Array) -> Array | None:
        """Image polygon (N, 2) of a planar world polygon (M, 3), cut at the near plane; None when behind it."""
        seen = self.to_camera(np.asarray(points, np.float64))
        depth = seen[:, 2]
        if (depth >= NEAR).all():
            return self.to_image(seen)
        if (depth < NEAR).all():
            return None
        kept = []
        for a, b in zip(seen, np.roll(seen, -1, axis=0), strict=True):
            if a[2] >= NEAR:
                kept.append(a)
            if (a[2] >= NEAR) != (b[2] >= NEAR):
                kept.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
        return self.to_image(np.array(kept))

    def rays(self, scale: float = 1.0) -> Array:
        """(h, w, 3) float32 world directions through the pixel centres of the canvas at ``scale`` times its size."""
        width, height = round(self.canvas[0] * scale), round(self.canvas[1] * scale)
        k = self.intrinsics
        u = ((np.arange(width) + 0.5) / scale - k[0, 2]) / self.focal
        v = ((np.arange(height) + 0.5) / scale - k[1, 2]) / self.focal
        grid = np.stack(np.broadcast_arrays(u[None, :], v[:, None], 1.0), axis=-1)
        return np.asarray(grid @ self.rotation, np.float32)


def homography(reference: Camera, camera: Camera, normal: Array | None = None, offset: float = 0.0) -> Array:
    """(3, 3) map of reference pixels to pixels of ``camera`` for the plane normal . X = offset (None: far away)."""
    relative = camera.rotation @ reference.rotation.T
    if normal is not None:
        shift = camera.rotation @ (reference.position - camera.position)
        distance = offset - float(normal @ reference.position)
        relative = relative + np.outer(shift, reference.rotation @ normal) / distance
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    matrix = camera.intrinsics @ relative @ np.linalg.inv(reference.intrinsics)
    return np.linalg.inv(half) @ matrix @ half


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """A base pose with slow sines, a drift and hand jitter on top."""

    base: Camera
    drift: Array  # (3,) metres per second
    amplitudes: Array  # (6, 2): x, y, z, yaw, pitch, roll
    rates: Array  # (6, 2) radians per second
    phases: Array  # (6, 2)
    jitter: Array  # (frames + 2, 3) radians: yaw, pitch, roll at each frame
    duration: float
    frame_rate: float

    def at(self, time: float) -> Camera:
        """The camera at ``time`` seconds (in between frames: interpolated)."""
        base = self.base
        sway = (self.amplitudes * np.sin(self.rates * time + self.phases)).sum(axis=1)
        index = np.clip(time * self.frame_rate, 0, len(self.jitter) - 1.001)
        low = int(index)
        shake = self.jitter[low] + (self.jitter[low + 1] - self.jitter[low]) * (index - low)
        position = base.position + sway[:3] + self.drift * (time - self.duration / 2)
        yaw, pitch, roll = np.array([base.yaw, base.pitch, base.roll]) + sway[3:] + shake
        return Camera(position, float(yaw), float(pitch), float(roll), base.focal, base.size)


def draw_motion(rng: np.random.Generator, base: Camera, frames: int, frame_rate: float) -> CameraMotion:
    """A gentle motion: some cameras stand almost still, some drift, some are held by hand."""
    duration = frames / frame_rate
    kind = rng.choice(["still", "drift", "hand"], p=[0.25, 0.4, 0.35])
    strength = {"still": 0.15, "drift": 0.7, "hand": 1.0}[str(kind)]
    limits = np.array([0.12, 0.12, 0.04, 0.022, 0.008, 0.004]) * strength
    amplitudes = limits[:, None] * rng.uniform(0.2, 0.8, (6, 2))
    rates = rng.uniform(0.25, 1.1, (6, 2)) * 2 * np.pi / np.array([4.0, 1.6])
    direction = rng.normal(size=3) * np.array([1, 1, 0.05])
    speed = rng.uniform(0.2, 0.8) if kind != "still" else 0.0
    drift = direction / (np.linalg.norm(direction) + 1e-9) * speed * min(0.12, 0.7 / max(duration, 1e-6))
    noise = rng.normal(size=(frames + 8, 3))
    smooth = (noise[:-2] + 2 * noise[1:-1] + noise[2:]) / 4
    jitter = smooth * np.array([7e-4, 6e-4, 3e-4]) * strength * rng.uniform(0.3, 1.0)
    return CameraMotion(base, drift, amplitudes, rates, rng.uniform(0, 2 * np.pi, (6, 2)), jitter, duration, frame_rate)


def turning(motion: CameraMotion, rng: np.random.Generator) -> CameraMotion:
    """The same motion of a camera that turns from side to side and shakes, as on a vehicle on a bad road."""
    amplitudes, rates, phases = motion.amplitudes.copy(), motion.rates.copy(), motion.phases.copy()
    amplitudes[3], rates[3], phases[3] = (TURN, 0.0), _TURN_RATE / TURN, rng.uniform(0, 2 * np.pi)
    jitter = rng.normal(size=motion.jitter.shape) * _SHAKE
    return replace(motion, amplitudes=amplitudes, rates=rates, phases=phases, jitter=jitter)
