"""Where each object of an image is described for losses of whole objects, and which class it is for a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from qdtrack_model.data.samples import Objects, SampleSet
from qdtrack_model.networks.one_shot import STRIDE
from qdtrack_model.structures import Array
from qdtrack_model.training.targets import UNKNOWN, UNUSED, beside_centres


@dataclass(frozen=True, eq=False)
class ObjectPlaces:
    """The objects of one image, M rows; a random choice where there are more of them.

    Args:
        centre: (M,) int64 flat cell indices: of the centre, or of a random place of the object.
        beside: (M,) int64 flat cell indices of places beside the centres, see ``beside_centres``.
        identity: (M,) int64 ids, UNKNOWN, or UNUSED in rows left over.
    """

    centre: Array
    beside: Array
    identity: Array


def object_places(
    objects: Objects, shape: tuple[int, int], most: int, off_centre: bool, random: np.random.Generator
) -> ObjectPlaces:
    """Places of the objects that count.

    Args:
        objects: in pixels.
        shape: height and width of the map.
        most: how many rows.
        off_centre: the places are up to a quarter of the width and half of the height beside the centres (CL-MOT).
        random: what is drawn from.
    """
    rows = random.permutation(np.flatnonzero(objects.labels >= 0))[:most]
    boxes = objects.boxes[rows] / STRIDE
    sizes, middles = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    if off_centre:
        middles = middles + random.uniform(-1, 1, sizes.shape) * sizes * (0.25, 0.5)
    cells = np.clip(middles.astype(np.int64), 0, (shape[1] - 1, shape[0] - 1))
    centre, beside = np.zeros(most, np.int64), np.zeros(most, np.int64)
    identity = np.full(most, UNUSED, np.int64)
    centre[: len(rows)] = cells[:, 1] * shape[1] + cells[:, 0]
    directions = random.integers(0, 2, (len(rows), 2))
    beside[: len(rows)] = beside_centres(centre[: len(rows)], sizes, directions, shape)
    identity[: len(rows)] = np.where(objects.ids[rows] >= 0, objects.ids[rows], UNKNOWN)
    return ObjectPlaces(centre, beside, identity)


def as_classes(sets: Sequence[SampleSet], each_box: bool) -> tuple[list[SampleSet], int]:
    """The sets with ids from 0 on that are different in all of them, and how many there are.

    Args:
        sets: whose ids say nothing of another set's.
        each_box: every box is an identity of its own; otherwise the known ones of each sequence are, and, in stills,
            where nobody is seen twice, every box.
    """
    count, numbered = 0, []
    for part in sets:
        if each_box or part.still:
            sizes = [len(sample.objects.ids) for sample in part.samples]
            starts = count + np.cumsum([0, *sizes])
            ids = [np.arange(first, end) for first, end in pairwise(starts)]
            count = int(starts[-1])
        else:
            known = np.unique(np.concatenate([s.objects.ids[s.objects.ids >= 0] for s in part.samples]))
            ids = [
                np.where(s.objects.ids >= 0, count + np.searchsorted(known, s.objects.ids), -1) for s in part.samples
            ]
            count += len(known)
        samples = [
            replace(sample, objects=replace(sample.objects, ids=own))  # type: ignore[type-var]
            for sample, own in zip(part.samples, ids, strict=True)
        ]
        numbered.append(replace(part, samples=samples))
    return numbered, count
