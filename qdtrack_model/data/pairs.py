"""Pairs of frames for training: two moments of one sequence, cropped, scaled, flipped and recoloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdtrack_model.config import GREY, require
from qdtrack_model.data.augmentation import colour_tables, crop, draw_warps
from qdtrack_model.data.samples import LabelledImage, with_local_ids


@dataclass(frozen=True)
class PairConfig:
    """How a pair of crops is drawn from a sequence."""

    crop_size: tuple[int, int] = (256, 448)  # height, width; multiples of 32
    scale_range: tuple[float, float] = (0.7, 1.4)
    reference_range: int = 20  # the reference frame is another one, at most so far away; 0: the key frame itself
    grey_probability: float = 0.2

    def __post_init__(self) -> None:
        multiples = all(n > 0 and n % 32 == 0 for n in self.crop_size)
        require(multiples, "crop_size", self.crop_size, "height and width as positive multiples of 32")
        low, high = self.scale_range
        require(0 < low <= high, "scale_range", self.scale_range, "0 < lowest <= highest")
        require(self.reference_range >= 0, "reference_range", self.reference_range, "0 or more frames")
        require(0 <= self.grey_probability <= 1, "grey_probability", self.grey_probability, "a number in [0, 1]")


class FramePairs:
    """Endless pairs, but countable: pair i of a seed is always the same, so training can resume anywhere.

    Args:
        sequences: frames of each sequence in order.
        config: sizes and ranges.
        seed: seed of the whole run.
        count: how many pairs there are.
        padding: colour (B, G, R) of what lies beyond a frame.
    """

    def __init__(
        self,
        sequences: Sequence[list[LabelledImage]],
        config: PairConfig,
        seed: int,
        count: int,
        padding: tuple[int, int, int] = GREY,
    ) -> None:
        self._sequences = sequences
        self._places = [(s, f) for s, frames in enumerate(sequences) for f in range(len(frames))]
        self._config, self._seed, self._count, self._padding = config, seed, count, padding

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, item: int) -> tuple[LabelledImage, LabelledImage]:
        """Key and reference frame of pair ``item``, as crops of ``crop_size``."""
        if not 0 <= item < self._count:
            raise IndexError(item)
        random = np.random.default_rng((self._seed, item))
        sequence, key = self._places[random.integers(len(self._places))]
        frames = self._sequences[sequence]
        reference = self._reference(key, len(frames), random)
        key_frame, reference_frame = frames[key], frames[reference]
        if reference == key:
            key_frame = reference_frame = with_local_ids(key_frame)
        config = self._config
        warps = draw_warps(key_frame, config.crop_size, config.scale_range, random)
        tables = colour_tables(random)
        grey = random.random(2) < config.grey_probability
        key_crop = crop(key_frame, warps[0], config.crop_size, self._padding, tables, bool(grey[0]))
        return key_crop, crop(reference_frame, warps[1], config.crop_size, self._padding, tables, bool(grey[1]))

    def _reference(self, key: int, count: int, random: np.random.Generator) -> int:
        """Another frame in range of frame ``key`` of ``count``, all equally likely; ``key`` where there is none."""
        span = self._config.reference_range
        first, last = max(0, key - span), min(count - 1, key + span)
        if first == last:
            return key
        drawn = int(random.integers(first, last))
        return drawn + (drawn >= key)
