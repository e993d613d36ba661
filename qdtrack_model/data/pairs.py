"""Pairs of frames for training: two moments of one sequence, cropped, scaled, flipped and recoloured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from qdtrack_model.boxes import box_area, box_centres
from qdtrack_model.config import require
from qdtrack_model.data.mot import MotBoxes, MotError, mot_class, read_mot
from qdtrack_model.data.sources import open_source
from qdtrack_model.structures import Array

IGNORED = -1  # label of an object that is neither learned nor held against the network


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """A uint8 BGR image and what is in it: boxes (N, 4) in its pixels, ids (N,), labels (N,) or IGNORED.

    An id below 0 says that an object's identity is unknown: it may be that of any object in another image.
    """

    image: Array
    boxes: Array
    ids: Array
    labels: Array


def _labels(truth: MotBoxes, classes: Sequence[str]) -> Array:
    """Class indices of ground truth: IGNORED for what is not scored or not among ``classes``."""
    columns = [mot_class(name, i) for i, name in enumerate(classes)]
    labels = np.full(len(truth), IGNORED)
    for label, column in enumerate(columns):
        labels[truth.classes == column] = label
    if (truth.classes < 0).all():
        labels[:] = 0  # the 2015 challenge names no classes: all are people
    labels[truth.confidences == 0] = IGNORED
    return labels


def load_sequence(
    folder: str | Path, classes: Sequence[str], input_size: tuple[int, int], frames: tuple[int, int] | None = None
) -> list[LabelledImage]:
    """The frames of a MOTChallenge folder, scaled to fit ``input_size`` (height, width), in memory.

    Args:
        frames: first and last frame number to use; all frames that have ground truth when None.

    Raises:
        SourceError, MotError: images or ``gt/gt.txt`` are missing or broken, or nothing is labelled.
    """
    folder = Path(folder)
    truth = read_mot(folder / "gt" / "gt.txt")
    if not len(truth):
        raise MotError(f"{folder / 'gt' / 'gt.txt'}: expected at least one box")
    first, last = frames or (1, int(truth.frames.max()))
    labels = _labels(truth, classes)
    loaded = []
    with open_source(folder) as source:
        for frame in source:
            if frame.index > last:
                break
            if frame.index < first:
                continue
            height, width = frame.image.shape[:2]
            scale = min(input_size[0] / height, input_size[1] / width)
            size = (round(width * scale), round(height * scale))
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            rows = truth.frames == frame.index
            loaded.append(LabelledImage(image, truth.boxes[rows] * scale, truth.ids[rows], labels[rows]))
    if not any((frame.labels >= 0).any() for frame in loaded):
        raise MotError(f"{folder}: no object of class {', '.join(classes)} in frames {first}-{last}")
    return loaded


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


def with_local_ids(frame: LabelledImage) -> LabelledImage:
    """The frame with new ids for the objects of unknown identity: within one image all objects are different."""
    new = frame.ids.max(initial=-1) + 1 + np.arange(len(frame.ids))
    return replace(frame, ids=np.where(frame.ids < 0, new, frame.ids))


class FramePairs:
    """Endless pairs, but countable: pair i of a seed is always the same, so training can resume anywhere.

    Args:
        sequences: frames of each sequence in order.
        config: sizes and ranges.
        seed: seed of the whole run.
        count: how many pairs there are.
    """

    def __init__(self, sequences: Sequence[list[LabelledImage]], config: PairConfig, seed: int, count: int) -> None:
        self._sequences = sequences
        self._places = [(s, f) for s, frames in enumerate(sequences) for f in range(len(frames))]
        self._config, self._seed, self._count = config, seed, count

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
        warps = self._warps(key_frame, random)
        gains = self._gains(random)
        key_view = self._view(key_frame, warps[0], gains, random)
        return key_view, self._view(reference_frame, warps[1], gains, random)

    def _reference(self, key: int, count: int, random: np.random.Generator) -> int:
        """Another frame in range of frame ``key`` of ``count``, all equally likely; ``key`` where there is none."""
        span = self._config.reference_range
        first, last = max(0, key - span), min(count - 1, key + span)
        if first == last:
            return key
        drawn = int(random.integers(first, last))
        return drawn + (drawn >= key)

    def _warps(self, frame: LabelledImage, random: np.random.Generator) -> list[Array]:
        """Two affine maps (2, 3) from frame to crop: nearly the same place and scale, the same flip."""
        height, width = self._config.crop_size
        scale = np.exp(random.uniform(*np.log(self._config.scale_range)))
        flip = random.random() < 0.5
        targets = box_centres(frame.boxes[frame.labels >= 0])
        focus = targets[random.integers(len(targets))] if len(targets) else np.array(frame.image.shape[1::-1]) / 2
        focus = focus + random.uniform(-0.4, 0.4, 2) * (width, height) / scale
        warps = []
        for _ in range(2):
            own_scale = scale * np.exp(random.uniform(-0.05, 0.05))
            half = np.array((width, height)) / 2 / own_scale
            # A crop that fits stays inside the frame; a larger one is centred on it.
            limit = np.array(frame.image.shape[1::-1]) - half
            centre = np.where(limit > half, np.clip(focus, half, limit), np.array(frame.image.shape[1::-1]) / 2)
            centre = centre + random.uniform(-0.05, 0.05, 2) * (width, height)
            mirror = -1 if flip else 1
            warps.append(
                np.array(
                    [
                        [mirror * own_scale, 0, width / 2 - mirror * own_scale * centre[0]],
                        [0, own_scale, height / 2 - own_scale * centre[1]],
                    ]
                )
            )
        return warps

    def _gains(self, random: np.random.Generator) -> Array:
        """Lookup tables (256, 3) uint8 of a random contrast, brightness and colour cast, the same for the pair."""
        levels = np.arange(256)[:, None] / 255
        gamma = np.exp(random.uniform(-0.3, 0.3))
        contrast, brightness = random.uniform(0.7, 1.3), random.uniform(-0.12, 0.12)
        cast = 1 + random.uniform(-0.08, 0.08, 3)
        table = ((levels**gamma - 0.5) * contrast + 0.5 + brightness) * cast
        tables: Array = np.clip(table * 255 + 0.5, 0, 255).astype(np.uint8)
        return tables

    def _view(self, frame: LabelledImage, warp: Array, gains: Array, random: np.random.Generator) -> LabelledImage:
        """The crop of ``frame`` that the affine map ``warp`` (2, 3) shows."""
        height, width = self._config.crop_size
        image = cv2.warpAffine(frame.image, warp, (width, height), flags=cv2.INTER_LINEAR, borderValue=(114,) * 3)
        image = cv2.LUT(image, gains[None])
        if random.random() < self._config.grey_probability:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        corners = frame.boxes.reshape(-1, 2, 2) * (warp[0, 0], warp[1, 1]) + warp[:, 2]
        whole = np.concatenate([corners.min(1), corners.max(1)], axis=1)
        boxes = np.clip(whole, 0, (width, height, width, height))
        # What the crop cuts to a third is like what the image border cuts: neither to be learned nor punished.
        left = box_area(boxes) / np.maximum(box_area(whole), 1e-6)
        labels = np.where(left < 0.35, IGNORED, frame.labels)
        seen = (left > 0) & (box_area(boxes) > 1)
        return LabelledImage(image, boxes[seen], frame.ids[seen], labels[seen])


def load_sequences(
    folders: Sequence[Path], classes: Sequence[str], input_size: tuple[int, int], frames: tuple[int, int] | None
) -> list[list[LabelledImage]]:
    """:func:`load_sequence` for several folders, with a progress bar."""
    with tqdm(folders, desc="reading", unit="sequence") as bar:  # closed before an error is printed
        return [load_sequence(folder, classes, input_size, frames) for folder in bar]


def fingerprint(sequences: Sequence[Sequence[LabelledImage]]) -> str:
    """A hash of everything labelled in the sequences, by which other data are known."""
    digest = hashlib.sha256()
    for frames in sequences:
        digest.update(str(len(frames)).encode())
        for frame in frames:
            for column in (frame.boxes, frame.ids, frame.labels):
                digest.update(column.tobytes())
    return digest.hexdigest()
