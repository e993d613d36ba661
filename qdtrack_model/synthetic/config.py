"""What a synthetic scene is asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qdtrack_model.config import require

CAMERAS = ("gentle", "turning")
CLASSES = ("pedestrian", "vehicle")
MINIMUM_VISIBILITY = 0.25  # less is marked as ignored
MINIMUM_HEIGHT = 16.0  # pixels of a 720 pixel high image; smaller is marked as ignored


@dataclass(frozen=True)
class SceneConfig:
    """A street seen by one camera; everything not given here is drawn from ``seed``.

    Args:
        seed: layout, light, palette, camera and every object follow from it.
        frames: length of the clip.
        frame_rate: frames per second.
        size: width and height in pixels.
        pedestrians: how many appear during the clip.
        vehicles: how many appear during the clip, parked ones included; fewer where there is no room.
        camera: ``gentle`` as somebody's who watches the street, or ``turning`` as on a vehicle: it looks from side to
            side, at 20 degrees a second in the middle, and shakes. Everything else of a seed is the same.
    """

    seed: int = 9
    frames: int = 300
    frame_rate: float = 25.0
    size: tuple[int, int] = (1280, 720)
    pedestrians: int = 16
    vehicles: int = 5
    camera: Literal["gentle", "turning"] = "gentle"

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "a number of 0 or more")
        require(0 < self.frames <= 100_000, "frames", self.frames, "1..100000")
        require(0 < self.frame_rate <= 1000, "frame_rate", self.frame_rate, "a number in (0, 1000]")
        width, height = self.size
        require(
            64 <= width <= 7680 and 64 <= height <= 4320, "size", f"{width}x{height}", "from 64x64 to 7680x4320 pixels"
        )
        require(0 <= self.pedestrians <= 200, "pedestrians", self.pedestrians, "0..200")
        require(0 <= self.vehicles <= 40, "vehicles", self.vehicles, "0..40")
        require(self.camera in CAMERAS, "camera", self.camera, f"one of {', '.join(CAMERAS)}")

    @property
    def duration(self) -> float:
        """Length of the clip in seconds."""
        return self.frames / self.frame_rate
