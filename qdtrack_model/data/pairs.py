"""Pairs of training images: two moments of one sequence, or two views of one still or of a mosaic of stills."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.config import GREY, require
from qdtrack_model.data.augmentation import GRIDS, draw_light, draw_warps, exposed, mixup, mosaic, view
from qdtrack_model.data.samples import LabelledImage, Objects, SampleError, SampleSet
from qdtrack_model.structures import Array

ATTEMPTS = 20  # to draw a pair of images that can be read
MOSAIC_MARGIN = 1.15  # by how much a mosaic is larger than a crop: room for two views of it
MOSAIC_SCALES = (0.85, 1.2)
STILL_SPREAD, SEQUENCE_SPREAD = 0.1, 0.05  # how far two views of one image, and those of two frames, are moved apart
SAME = 0.5  # overlap from which on two boxes of neighbouring frames are taken for one object
STILL_EXPOSURE, SEQUENCE_EXPOSURE = 0.5, 0.2  # strength of each view's own change of colours


@dataclass(frozen=True)
class PairConfig:
    """How a pair of crops is drawn."""

    crop_size: tuple[int, int] | None = (256, 448)  # height, width; multiples of 32; None: the network's input size
    scale_range: tuple[float, float] = (0.7, 1.4)
    reference_range: int = 20  # the reference frame is another one, at most so far away; 0: the key frame itself
    # Which objects of a pair are the same: as labelled; or without any identity, in two views of one frame
    # (reference_range 0), or those that overlap most from one frame to the next.
    identities: Literal["labelled", "frame", "overlap"] = "labelled"
    mirrored: bool = False  # the reference is flipped, where the key is not, and the other way round
    rotation: float = 0.0  # degrees by which each of the two is rotated at most
    shear: float = 0.0  # degrees by which each is sheared at most, across and down
    grey_probability: float = 0.2
    mosaic_zoom: tuple[float, float] = (1.0, 1.6)  # enlargement of a still in a mosaic beyond what covers its cell

    def __post_init__(self) -> None:
        multiples = all(n > 0 and n % 32 == 0 for n in self.crop_size or ())
        require(multiples, "crop_size", self.crop_size, "height and width as positive multiples of 32")
        for key in ("scale_range", "mosaic_zoom"):
            low, high = getattr(self, key)
            require(0 < low <= high, key, (low, high), "0 < lowest <= highest")
        require(self.reference_range >= 0, "reference_range", self.reference_range, "0 or more frames")
        known = ("labelled", "frame", "overlap")
        require(self.identities in known, "identities", self.identities, f"one of {', '.join(known)}")
        one_frame = self.identities != "frame" or self.reference_range == 0
        require(one_frame, "reference_range", self.reference_range, "0 with `identities: frame`")
        for key in ("rotation", "shear"):
            require(0 <= getattr(self, key) <= 45, key, getattr(self, key), "degrees in [0, 45]")
        require(0 <= self.grey_probability <= 1, "grey_probability", self.grey_probability, "a number in [0, 1]")


class FramePairs:
    """Endless pairs, but countable: pair i of a seed is always the same, so training can resume anywhere.

    Args:
        sets: what is drawn from.
        config: sizes and ranges.
        seed: seed of the whole run.
        count: how many pairs there are.
        padding: colour (B, G, R) of what lies beyond an image.
        size: height and width of crops where ``config`` has none.
        classes: the ids are classes, different in all sets; otherwise ids of two stills say nothing of each other.
    """

    def __init__(
        self,
        sets: Sequence[SampleSet],
        config: PairConfig,
        seed: int,
        count: int,
        padding: tuple[int, int, int] = GREY,
        size: tuple[int, int] | None = None,
        classes: bool = False,
    ) -> None:
        self._sets, self._config, self._seed, self._count, self._padding = sets, config, seed, count, padding
        self._classes = classes
        weights = np.array([part.share for part in sets])
        self._bounds = np.cumsum(weights)
        self._repeats = {id(part): np.cumsum(part.repeats) for part in sets if part.repeats is not None}
        self._mosaic_bounds = np.cumsum(weights * [part.still and part.mosaic > 0 for part in sets])
        self._mixup_bounds = np.cumsum(weights * [part.still and part.mixup > 0 for part in sets])
        self._broken: set[str] = set()  # what was said of images that cannot be read
        crop = config.crop_size or size
        if crop is None:
            raise ValueError("pairs.crop_size: got None, expected a size, as there is no network's input size")
        self._crop = (crop[1], crop[0])

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, item: int) -> tuple[LabelledImage, LabelledImage]:
        """Key and reference of pair ``item``, as crops of ``crop_size``.

        An image that cannot be read is told on stderr, once, and another pair is drawn instead.

        Raises:
            SampleError: so it goes time and again.
        """
        if not 0 <= item < self._count:
            raise IndexError(item)
        for attempt in range(ATTEMPTS):
            try:
                return self._pair(np.random.default_rng((self._seed, item, attempt)))
            except SampleError as error:
                if str(error) not in self._broken:
                    print(f"qdtrack: warning: left out: {error}", file=sys.stderr)
                self._broken.add(str(error))
        raise SampleError(f"{len(self._broken)} images cannot be read; the last: {sorted(self._broken)[-1]}")

    def _pair(self, random: np.random.Generator) -> tuple[LabelledImage, LabelledImage]:
        drawn, place = self._draw(self._bounds, random)
        scales = drawn.scale_range or self._config.scale_range
        if drawn.still and random.random() < drawn.mosaic:
            images, scales = [self._mosaic(random)] * 2, MOSAIC_SCALES
        else:
            images = self._images(drawn, place, random)
        if drawn.still and drawn.mixup and random.random() < drawn.mixup:
            other, place = self._draw(self._mixup_bounds, random)
            images = [self._one(mixup(images[0], other.samples[place].read(), self._padding, random))] * 2
        config = self._config
        alike = drawn.still or config.reference_range == 0  # two views of one image: they have to differ by themselves
        spread = STILL_SPREAD if alike else SEQUENCE_SPREAD
        turn = (config.rotation, config.shear)
        warps = draw_warps(images[0], self._crop, scales, spread, random, config.mirrored, turn)
        light = draw_light(self._config.grey_probability, random)
        own = STILL_EXPOSURE if alike else SEQUENCE_EXPOSURE
        views = [view(image, warp, self._crop, self._padding) for image, warp in zip(images, warps, strict=True)]
        key, reference = (LabelledImage(exposed(v.image, light, own, random), v.objects) for v in views)
        return key, reference

    def _draw(self, bounds: Array, random: np.random.Generator) -> tuple[SampleSet, int]:
        """A set and the place of a sample in it; ``bounds`` are the sums of the weights up to each set."""
        drawn = self._sets[int(np.searchsorted(bounds, random.random() * bounds[-1], side="right"))]
        repeats = self._repeats.get(id(drawn))
        if repeats is None:
            return drawn, int(random.integers(len(drawn.samples)))
        return drawn, int(np.searchsorted(repeats, random.random() * repeats[-1], side="right"))

    def _images(self, drawn: SampleSet, place: int, random: np.random.Generator) -> list[LabelledImage]:
        """The sample at ``place`` of a set and its reference: in a set of stills the same one."""
        key = drawn.samples[place].read()
        if self._config.identities != "labelled":
            key = replace(key, objects=key.objects.numbered())
        reference = place if drawn.still else self._reference(place, len(drawn.samples), random)
        if reference == place:
            return [key if self._classes else replace(key, objects=key.objects.with_local_ids())] * 2
        other = drawn.samples[reference].read()
        if self._config.identities == "overlap":
            other = replace(other, objects=_as_overlapping(other.objects, key.objects))
        return [key, other]

    def _mosaic(self, random: np.random.Generator) -> LabelledImage:
        columns, rows = GRIDS[random.integers(len(GRIDS))]
        places = [self._draw(self._mosaic_bounds, random) for _ in range(columns * rows)]
        size = (round(self._crop[0] * MOSAIC_MARGIN), round(self._crop[1] * MOSAIC_MARGIN))
        parts = [drawn.samples[place].read() for drawn, place in places]
        return self._one(mosaic(parts, columns, size, self._config.mosaic_zoom, random))

    def _one(self, image: LabelledImage) -> LabelledImage:
        """What was put together of several stills, as one whose objects are all different."""
        return image if self._classes else replace(image, objects=image.objects.numbered())

    def _reference(self, key: int, count: int, random: np.random.Generator) -> int:
        """Another frame in range of frame ``key`` of ``count``, all equally likely; ``key`` where there is none."""
        span = self._config.reference_range
        first, last = max(0, key - span), min(count - 1, key + span)
        if first == last:
            return key
        drawn = int(random.integers(first, last))
        return drawn + (drawn >= key)


def _as_overlapping(objects: Objects, before: Objects) -> Objects:
    """The objects with ids of those of the frame ``before`` that they overlap most, by half or more; or unknown."""
    overlaps = box_iou(objects.boxes, before.boxes) * (objects.labels[:, None] == before.labels)
    ids = np.full(len(objects.ids), -1)
    for _ in range(min(overlaps.shape)):
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        if overlaps[row, column] < SAME:
            break
        ids[row] = before.ids[column]
        overlaps[row], overlaps[:, column] = 0, 0
    return replace(objects, ids=ids)
