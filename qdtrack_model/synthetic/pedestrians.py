"""Pedestrians: an articulated figure in space, drawn from any side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.camera import Camera
from qdtrack_model.synthetic.clothing import Outfit
from qdtrack_model.synthetic.paint import Colour, Drawing, capsule, ellipse, hull, tint

UP = np.array([0.0, 0.0, 1.0])
# Segment lengths as shares of body height (Drillis and Contini 1966, rounded).
THIGH, SHANK, UPPER_ARM, FOREARM = 0.245, 0.246, 0.172, 0.157
JOINTS = (
    "hip_l", "hip_r", "knee_l", "knee_r", "ankle_l", "ankle_r", "toe_l", "toe_r", "shoulder_l", "shoulder_r",
    "elbow_l", "elbow_r", "hand_l", "hand_r", "chest", "waist", "neck", "head",
)  # fmt: skip
INDEX = {name: number for number, name in enumerate(JOINTS)}


@dataclass(frozen=True, eq=False)
class Figure:
    """A body and its clothing."""

    height: float  # metres
    outfit: Outfit
    torso: Array  # texture around the body
    grain: Array
    swing: float  # liveliness of the arms


def stride(height: float, speed: float) -> float:
    """Length of two steps in metres at ``speed`` metres per second."""
    return 0.82 * height * float(np.sqrt(max(speed, 0.3) / 1.35))


def _direction(angle: float, forward: Array) -> Array:
    """A unit vector hanging down, swung forward by ``angle``."""
    return np.asarray(np.sin(angle) * forward - np.cos(angle) * UP)


def skeleton(figure: Figure, ground: Array, heading: Array, phase: float, speed: float) -> Array:
    """(18, 3) joints in metres; the lower foot stands on the ground at ``ground`` (3,)."""
    height = figure.height
    left = np.array([-heading[1], heading[0], 0.0])
    amplitude = 0.0 if speed < 0.1 else float(np.arcsin(min(0.25 * stride(height, speed) / (0.49 * height), 0.8)))
    pose = np.zeros((len(JOINTS), 3))
    hip = np.zeros(3)
    for side, sign, at in (("l", 1.0, phase), ("r", -1.0, phase + np.pi)):
        thigh = amplitude * np.sin(at) + 0.06 * (amplitude > 0)
        bend = 0.06 + 1.9 * amplitude * max(0.0, np.cos(at + 0.25)) ** 2
        pose[INDEX["hip_" + side]] = hip + sign * left * 0.052
        knee = pose[INDEX["hip_" + side]] + THIGH * _direction(thigh, heading)
        ankle = knee + SHANK * _direction(thigh - bend, heading)
        pose[INDEX["knee_" + side]], pose[INDEX["ankle_" + side]] = knee, ankle
        lift = (thigh - bend) * 0.7
        pose[INDEX["toe_" + side]] = ankle + 0.1 * (np.cos(lift) * heading + np.sin(lift) * UP) - 0.022 * UP
        shoulder = hip + UP * 0.288 + heading * 0.012 + sign * left * 0.106 * figure.outfit.girth**0.5
        arm = -figure.swing * amplitude * np.sin(at) + 0.02
        elbow = shoulder + UPPER_ARM * (_direction(arm, heading) + sign * left * 0.16)
        pose[INDEX["shoulder_" + side]], pose[INDEX["elbow_" + side]] = shoulder, elbow
        pose[INDEX["hand_" + side]] = elbow + FOREARM * _direction(arm + 0.25 + 0.5 * amplitude, heading)
    pose[INDEX["waist"]] = hip + UP * 0.06
    pose[INDEX["chest"]] = hip + UP * 0.21 + heading * 0.01
    pose[INDEX["neck"]] = hip + UP * 0.32 + heading * 0.02
    pose[INDEX["head"]] = hip + UP * 0.405 + heading * 0.035
    lowest = min(pose[INDEX[name], 2] for name in ("ankle_l", "ankle_r", "toe_l", "toe_r"))
    pose[:, 2] -= lowest - 0.018
    return np.asarray(pose * height + ground)


class _Painter:
    """Draws one figure: projected joints, scale, and the shading of its two sides."""

    def __init__(self, figure: Figure, joints: Array, heading: Array, camera: Camera, light: float) -> None:
        points, depths = camera.project(joints)
        self.figure, self.outfit, self.light = figure, figure.outfit, light
        self.at = {name: points[number] for name, number in INDEX.items()}
        self.depth = {name: depths[number] for name, number in INDEX.items()}
        self.unit = float(camera.focal / max(float(depths.mean()), 0.5) * figure.height)  # pixels per body height
        rotation = camera.rotation
        facing = rotation @ heading
        self.facing = float(-facing[2])  # 1 looks into the camera, -1 away
        self.sideways = float(facing[0])
        self.angle = float(np.arctan2(facing[0], -facing[2]))
        self.drawing = Drawing(grain=figure.grain if self.unit > 45 else None)

    def limb(self, names: tuple[str, str], radii: tuple[float, float], colour: Colour, shade: float = 1.0) -> None:
        a, b = self.at[names[0]], self.at[names[1]]
        radii_px = np.array(radii) * self.unit
        colour = tint(colour, self.light * shade)
        self.drawing.fill(capsule(a, b, radii_px[0], radii_px[1]), colour)
        if self.unit > 110:  # a lit edge makes the limb round
            offset = np.array([-0.3 * radii_px.mean(), 0.0])
            thin = radii_px * 0.5
            self.drawing.fill(capsule(a + offset, b + offset, thin[0], thin[1]), tint(colour, 1.1))

    def leg(self, side: str, shade: float) -> None:
        outfit, g = self.outfit, self.outfit.girth**0.7
        shin = outfit.bottom if outfit.trousers > 0.7 and not outfit.skirt else outfit.skin
        thigh = outfit.bottom if not outfit.skirt else outfit.skin
        self.limb(("knee_" + side, "ankle_" + side), (0.036 * g, 0.025), shin, shade)
        self.limb(("hip_" + side, "knee_" + side), (0.057 * g, 0.038 * g), thigh, shade)
        self.limb(("ankle_" + side, "toe_" + side), (0.024, 0.017), outfit.shoes, shade)

    def arm(self, side: str, shade: float) -> None:
        outfit, g = self.outfit, self.outfit.girth**0.5
        lower = outfit.top if outfit.sleeves > 0.7 else outfit.skin
        self.limb(("elbow_" + side, "hand_" + side), (0.023 * g, 0.016), lower, shade)
        hand = self.at["hand_" + side]
        self.drawing.fill(ellipse(hand, 0.021 * self.unit, 0.026 * self.unit), tint(outfit.skin, self.light * shade))
        self.limb(("shoulder_" + side, "elbow_" + side), (0.033 * g, 0.026 * g), outfit.top, shade * 0.94)

    def _rings(self, spots: list[tuple[Array, float]]) -> Array:
        return hull(np.concatenate([ellipse(p, r * self.unit, r * self.unit, points=10) for p, r in spots]))

    def torso(self) -> None:
        at, g = self.at, self.outfit.girth
        spots = [
            (at["shoulder_l"], 0.034), (at["shoulder_r"], 0.034), (at["chest"], 0.068 * g), (at["waist"], 0.064 * g),
            (at["hip_l"], 0.055 * g), (at["hip_r"], 0.055 * g),
        ]  # fmt: skip
        outline = self._rings(spots)
        hips = self._rings([(at["hip_l"], 0.06 * g), (at["hip_r"], 0.06 * g), (at["waist"], 0.058 * g)])
        self.drawing.fill(hips, tint(self.outfit.bottom, self.light))
        low, high = outline.min(axis=0), outline.max(axis=0)
        # The front of the texture (column 64 of 128) faces the camera when the figure does.
        column = round(64 - self.angle / (2 * np.pi) * 128)
        start = (column - 32) % 128
        texture = self.figure.torso[:, start : start + 64]
        corners = np.array([[low[0], low[1]], [high[0], low[1]], [low[0], high[1]]])
        if self.unit > 45:
            dim = np.clip(texture * self.light, 0, 255).astype(np.uint8)
            self.drawing.textured(outline, dim, corners)
        else:
            self.drawing.fill(outline, tint(self.outfit.top, self.light))

    def drape(self, reach: float, colour: Colour) -> None:
        """A skirt or a coat down to ``reach`` of the thighs."""
        at, g = self.at, self.outfit.girth
        ends = [at["hip_" + s] + (at["knee_" + s] - at["hip_" + s]) * reach for s in "lr"]
        shape = self._rings([(at["waist"], 0.062 * g), (ends[0], 0.062 * g), (ends[1], 0.062 * g)])
        self.drawing.fill(shape, tint(colour, self.light * 0.93))

    def head(self) -> None:
        outfit, head, unit = self.outfit, self.at["head"], self.unit
        self.limb(("neck", "head"), (0.032, 0.03), outfit.skin, 0.8)
        radius = 0.058 * unit
        hair, skin = tint(outfit.hair, self.light), tint(outfit.skin, self.light)
        if outfit.long_hair:
            tail = head + np.array([-0.35 * self.sideways, 1.1]) * radius
            self.drawing.fill(capsule(head, tail, radius, radius * 0.8), hair)
        self.drawing.fill(ellipse(head, radius * 0.98, radius * 1.24), hair)
        if self.facing > -0.75:
            shown = float(np.clip(0.62 + 0.35 * self.facing, 0.3, 0.9))
            centre = head + np.array([0.42 * self.sideways, 0.2]) * radius
            self.drawing.fill(ellipse(centre, radius * shown, radius * 0.98), skin)
            if unit > 150 and self.facing > -0.2:
                self.face(centre + np.array([0.25 * self.sideways, 0.0]) * radius, radius)
        if outfit.hat != "none":
            self.hat(head, radius)

    def face(self, centre: Array, radius: float) -> None:
        dark = (40.0, 40.0, 50.0)
        for sign in (-1, 1):
            eye = centre + np.array([sign * 0.33 * max(self.facing, 0.25), -0.1]) * radius
            self.drawing.fill(ellipse(eye, radius * 0.1, radius * 0.07, points=8), dark)
        mouth = centre + np.array([0, 0.5]) * radius
        self.drawing.fill(ellipse(mouth, radius * 0.22, radius * 0.06, points=8), (70.0, 70.0, 120.0))

    def hat(self, head: Array, radius: float) -> None:
        colour = tint(self.outfit.hat_colour, self.light)
        dome = ellipse(head - (0, 0.35 * radius), radius * 1.08, radius * 1.0, points=24)
        dome[:, 1] = np.minimum(dome[:, 1], head[1] - 0.3 * radius)
        if self.outfit.hat == "brim":
            self.drawing.fill(ellipse(head - (0, 0.4 * radius), radius * 1.75, radius * 0.4), tint(colour, 0.8))
        elif self.outfit.hat == "cap":
            peak = head + np.array([1.1 * self.sideways, -0.35]) * radius
            self.drawing.fill(ellipse(peak, radius * (0.5 + 0.4 * abs(self.sideways)), radius * 0.2), tint(colour, 0.7))
        self.drawing.fill(dome, colour)

    def bag(self, behind: bool) -> None:
        """Draw the bag when it belongs behind (or in front of) the body."""
        outfit, at, unit = self.outfit, self.at, self.unit
        colour = tint(outfit.bag_colour, self.light * 0.9)
        if outfit.bag == "backpack" and behind == (self.facing > 0):
            back = np.array([-0.085 * self.sideways, 0.0]) * unit
            top, bottom = at["chest"] + back - (0, 0.05 * unit), at["waist"] + back
            wide = (0.05 + 0.045 * abs(self.facing)) * unit
            self.drawing.fill(capsule(top, bottom, wide, wide * 1.05), colour)
            pocket = bottom - (0, 0.015 * unit)
            self.drawing.fill(ellipse(pocket, wide * 0.7, wide * 0.5, points=12), tint(colour, 0.8))
        near = "l" if self.depth["shoulder_l"] < self.depth["shoulder_r"] else "r"
        if outfit.bag == "shoulder" and not behind:
            spot = at["hip_" + near] + (0, -0.01 * unit)
            self.limb(("shoulder_" + near, "hip_" + near), (0.008, 0.008), outfit.bag_colour, 0.7)
            box = np.array([[-0.06, -0.04], [0.06, -0.04], [0.065, 0.06], [-0.065, 0.06]]) * unit + spot
            self.drawing.fill(box, colour)
        if outfit.bag == "case" and behind == (near == "r"):
            spot = at["hand_r"] + (0, 0.02 * unit)
            half = 0.03 + 0.055 * abs(self.sideways)
            box = np.array([[-half, 0], [half, 0], [half, 0.11], [-half, 0.11]]) * unit + spot
            self.drawing.fill(box, colour)

    def paint(self) -> Drawing:
        near, far = ("l", "r") if self.depth["shoulder_l"] < self.depth["shoulder_r"] else ("r", "l")
        self.bag(behind=True)
        self.arm(far, 0.78)
        order = sorted("lr", key=lambda s: -self.depth["ankle_" + s])
        for side in order:
            self.leg(side, 0.8 if side == far else 1.0)
        if self.outfit.skirt:
            self.drape(self.outfit.skirt, self.outfit.bottom)
        if self.outfit.coat:
            self.drape(self.outfit.coat, self.outfit.top)
        if self.facing < -0.2:
            self.head()
            self.torso()
        else:
            self.torso()
            self.head()
        self.arm(near, 1.0)
        self.bag(behind=False)
        return self.drawing


def draw_figure(figure: Figure, joints: Array, heading: Array, camera: Camera, light: float) -> Drawing:
    """The figure as the camera sees it; ``light`` scales its brightness."""
    return _Painter(figure, joints, heading, camera, light).paint()
