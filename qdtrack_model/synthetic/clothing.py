"""What pedestrians wear: distinct outfits, and a few that many share with small differences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.paint import Colour, tint

SKIN: list[Colour] = [(150, 175, 215), (130, 160, 205), (110, 140, 190), (80, 105, 150), (55, 75, 110), (40, 55, 80)]
HAIR: list[Colour] = [(25, 25, 30), (35, 45, 60), (45, 70, 100), (90, 140, 175), (150, 155, 160), (30, 45, 95)]
TOPS: list[Colour] = [
    (35, 35, 38), (60, 55, 50), (110, 70, 40), (160, 110, 60), (50, 50, 150), (40, 40, 190), (60, 130, 60),
    (120, 160, 90), (205, 205, 205), (170, 175, 180), (100, 105, 110), (60, 150, 210), (60, 190, 215), (150, 90, 140),
    (180, 150, 200), (90, 120, 150), (190, 170, 90), (70, 40, 30),
]  # fmt: skip
BOTTOMS: list[Colour] = [
    (30, 30, 32), (55, 45, 40), (95, 65, 45), (125, 95, 65), (70, 80, 90), (110, 130, 150), (85, 85, 88), (45, 60, 75),
    (170, 170, 168),
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outfit:
    """Looks of one pedestrian; lengths are shares of body height."""

    top: Colour
    second: Colour  # stripes, shirt under a jacket, print
    pattern: str  # plain, stripes, jacket, check, block, print
    bottom: Colour
    shoes: Colour
    skin: Colour
    hair: Colour
    long_hair: bool
    sleeves: float  # 0 bare arms .. 1 long
    trousers: float  # 0.4 shorts .. 1 long
    skirt: float  # 0: none; else how far down the thighs
    coat: float  # likewise
    hat: str  # none, cap, beanie, brim
    hat_colour: Colour
    bag: str  # none, backpack, shoulder, case
    bag_colour: Colour
    girth: float  # 1 is average


def _pick(rng: np.random.Generator, colours: list[Colour], spread: float = 0.15) -> Colour:
    chosen = np.array(colours[rng.integers(len(colours))]) * rng.uniform(1 - spread, 1 + spread)
    b, g, r = np.clip(chosen + rng.normal(size=3) * 8, 12, 245)
    return float(b), float(g), float(r)


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """Somebody distinct."""
    style = rng.random()
    return Outfit(
        top=_pick(rng, TOPS),
        second=_pick(rng, TOPS, 0.3),
        pattern=str(rng.choice(["plain", "stripes", "jacket", "check", "block", "print"])),
        bottom=_pick(rng, BOTTOMS),
        shoes=_pick(rng, [(25, 25, 28), (40, 50, 70), (210, 210, 212), (60, 60, 140)]),
        skin=_pick(rng, SKIN, 0.08),
        hair=_pick(rng, HAIR),
        long_hair=bool(rng.random() < 0.35),
        sleeves=float(rng.choice([0.45, 1.0], p=[0.3, 0.7])),
        trousers=float(rng.choice([0.5, 1.0], p=[0.15, 0.85])),
        skirt=float(rng.uniform(0.6, 1.2)) if style < 0.17 else 0.0,
        coat=float(rng.uniform(0.5, 1.1)) if style > 0.78 else 0.0,
        hat=str(rng.choice(["none", "cap", "beanie", "brim"], p=[0.62, 0.15, 0.15, 0.08])),
        hat_colour=_pick(rng, TOPS),
        bag=str(rng.choice(["none", "backpack", "shoulder", "case"], p=[0.4, 0.27, 0.2, 0.13])),
        bag_colour=_pick(rng, TOPS),
        girth=float(rng.uniform(0.88, 1.2)),
    )


def look_alike(rng: np.random.Generator, model: Outfit) -> Outfit:
    """The same clothing with small differences: hair, skin, shade, perhaps the bag or the hat."""
    other = draw_outfit(rng)
    shade = float(rng.uniform(0.9, 1.1))
    return replace(
        model,
        top=tint(model.top, shade),
        bottom=tint(model.bottom, float(rng.uniform(0.88, 1.12))) if rng.random() < 0.6 else other.bottom,
        shoes=other.shoes,
        skin=other.skin,
        hair=other.hair,
        long_hair=other.long_hair,
        girth=other.girth,
        hat=model.hat if rng.random() < 0.6 else other.hat,
        bag=model.bag if rng.random() < 0.5 else other.bag,
        bag_colour=other.bag_colour,
    )


def torso_texture(rng: np.random.Generator, outfit: Outfit) -> Array:
    """(64, 192, 3) uint8: the clothing once and a half around the body; the front is at column 64."""
    image = np.empty((64, 128, 3), np.float32)
    image[:] = outfit.top
    if outfit.pattern == "stripes":
        step = int(rng.integers(5, 12))
        for row in range(0, 64, 2 * step):
            image[row : row + step] = outfit.second
    elif outfit.pattern == "check":
        step = int(rng.integers(6, 13))
        rows, columns = np.indices((64, 128)) // step
        image[(rows + columns) % 2 == 0] = outfit.second
    elif outfit.pattern == "jacket":
        width = int(rng.integers(5, 12))
        image[:, 64 - width : 64 + width] = outfit.second
        image[:, 64 - width - 1 : 64 - width + 1] = image[:, 64 + width - 1 : 64 + width + 1] = np.array(outfit.top) / 2
    elif outfit.pattern == "block":
        image[: int(rng.integers(20, 42))] = outfit.second
    elif outfit.pattern == "print":
        where = 64 if rng.random() < 0.6 else 4
        radii = (int(rng.integers(6, 14)), int(rng.integers(6, 14)))
        cv2.ellipse(image, (where, 26), radii, 0, 0, 360, outfit.second, -1)
    folds = cv2.GaussianBlur(rng.normal(size=(64, 128)).astype(np.float32), (0, 0), 4)
    image *= (1 + 0.9 * folds)[..., None]
    image[-4:] *= 0.75
    return np.tile(np.clip(image, 0, 255).astype(np.uint8), (1, 2, 1))[:, :192]


def cloth_grain(rng: np.random.Generator) -> Array:
    """(48, 24, 3) uint8 shading over a whole figure: folds, lit from above; 128 is neutral."""
    folds = cv2.GaussianBlur(rng.normal(size=(48, 24)).astype(np.float32), (0, 0), 1.3) * 22
    ramp = np.linspace(8, -14, 48)[:, None]
    grey = np.clip(128 + folds + ramp, 80, 180).astype(np.uint8)
    return np.dstack([grey] * 3)
