"""What training learns from: labelled images, in memory or in files, in sequences and in sets of stills."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from qdtrack_model.boxes import box_area
from qdtrack_model.data.images import decode
from qdtrack_model.structures import Array

IGNORED = -1  # label of an object that is neither learned nor held against the network
CUT = 0.35  # what a crop cuts to less is like what the image's border cuts: neither to be learned nor punished


class SampleError(ValueError):
    """A labelled image that cannot be used; the text names the file and what is wrong."""


@dataclass(frozen=True, eq=False)
class Objects:
    """What is in an image.

    An id below 0 says that an object's identity is unknown: it may be that of any object in another image.

    Args:
        boxes: (N, 4) x1 y1 x2 y2 in pixels of the image.
        ids: (N,) identities.
        labels: (N,) class indices, or IGNORED.
        open_boxes: (M, 4) regions in which objects of one class may stand without a box, so that nothing there may be
            taken for background of that class.
        open_labels: (M,) the class of each region.
    """

    boxes: Array
    ids: Array
    labels: Array
    open_boxes: Array = field(default_factory=lambda: np.zeros((0, 4)))
    open_labels: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def seen_through(self, warp: Array, size: tuple[int, int]) -> Objects:
        """The objects as an affine map (2, 3) shows them in an image of ``size`` (width, height).

        A box that is turned becomes the upright one around its corners. What lies outside is left out, what is cut to
        less than CUT of its area is IGNORED.
        """
        whole, limits = _mapped(self.boxes, warp), (*size, *size)
        boxes, regions = np.clip(whole, 0, limits), np.clip(_mapped(self.open_boxes, warp), 0, limits)
        left = box_area(boxes) / np.maximum(box_area(whole), 1e-6)
        labels = np.where(left < CUT, IGNORED, self.labels)
        seen, open_seen = (left > 0) & (box_area(boxes) > 1), box_area(regions) > 0
        return Objects(boxes[seen], self.ids[seen], labels[seen], regions[open_seen], self.open_labels[open_seen])

    def moved(self, right: float, down: float) -> Objects:
        """The objects elsewhere, in pixels."""
        by = (right, down, right, down)
        return replace(self, boxes=self.boxes + by, open_boxes=self.open_boxes + by)

    def numbered(self) -> Objects:
        """New ids for all objects, as if no identity were known."""
        return replace(self, ids=np.arange(len(self.ids)))

    def with_local_ids(self) -> Objects:
        """New ids for the objects of unknown identity: within one image all objects are different."""
        new = self.ids.max(initial=-1) + 1 + np.arange(len(self.ids))
        return replace(self, ids=np.where(self.ids < 0, new, self.ids))


def _mapped(boxes: Array, warp: Array) -> Array:
    corners = boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]] @ warp[:, :2].T + warp[:, 2]
    return np.concatenate([corners.min(1), corners.max(1)], axis=1)


def side_by_side(parts: Sequence[Objects]) -> Objects:
    """The objects of all parts of one picture, with the ids that they have in the parts."""
    return Objects(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Objects)))


class Sample(Protocol):
    """A labelled image, in memory or in a file; ``objects`` are in pixels of the image as it is stored."""

    @property
    def objects(self) -> Objects: ...

    def read(self) -> LabelledImage:
        """The image in memory."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """A uint8 BGR image (H, W, 3) and what is in it."""

    image: Array
    objects: Objects

    def read(self) -> LabelledImage:
        """Itself."""
        return self

    def fitted(self, largest: tuple[int, int]) -> LabelledImage:
        """The image scaled to fit ``largest`` (height, width) where it is larger."""
        height, width = self.image.shape[:2]
        scale = min(1.0, largest[0] / height, largest[1] / width)
        if scale == 1:
            return self
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        warp = np.array([[size[0] / width, 0, 0], [0, size[1] / height, 0]])
        image = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        return LabelledImage(image, self.objects.seen_through(warp, size))


def decoded(data: Array, objects: Objects, where: str) -> LabelledImage:
    """The image in the bytes (N,) uint8 of a JPEG, PNG ... and what is in it.

    Raises:
        SampleError: they are no image; ``where`` says where they are.
    """
    image = decode(data)
    if image is None:
        raise SampleError(f"{where}: not an image that can be decoded; mend it, or take it out of the data")
    return LabelledImage(image, objects)


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image file and what is in it; nothing is in memory until it is read.

    Args:
        path: of the image.
        objects: what is in it, in pixels of the file.
        largest: (height, width); a larger image is scaled to fit when it is read. None: it stays as it is.
        size: (width, height) that the labels are made for; None: whatever the file has.
    """

    path: Path
    objects: Objects
    largest: tuple[int, int] | None
    size: tuple[int, int] | None = None

    def read(self) -> LabelledImage:
        """Decode the image.

        Raises:
            SampleError: the file is gone, is no image, or is of another size.
        """
        try:
            data = np.fromfile(self.path, np.uint8)
        except OSError as error:
            raise SampleError(f"{self.path}: cannot be read: {error.strerror}") from None
        labelled = decoded(data, self.objects, str(self.path))
        found = (labelled.image.shape[1], labelled.image.shape[0])
        if self.size is not None and found != self.size:
            raise SampleError(f"{self.path}: is {found[0]}x{found[1]} as decoded, its labels are for {self.size}")
        return labelled.fitted(self.largest) if self.largest else labelled


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Samples that belong together, and how they are drawn.

    Args:
        samples: the frames of one sequence in order; or stills.
        still: the samples have nothing to do with each other: a pair is two views of one.
        weight: how often a sample is drawn, relative to those of other sets.
        scale_range: lowest and highest scale of crops; as the recipe says for all where None.
        mosaic: the part of the pairs, 0..1, that are views of a mosaic of stills.
        mixup: the part of the pairs, 0..1, over which another still is laid.
        origin: folder or file that they were read from.
        repeats: (N,) how often each sample is drawn, relative to 1; all alike where None.
    """

    samples: Sequence[Sample]
    still: bool = False
    weight: float = 1.0
    scale_range: tuple[float, float] | None = None
    mosaic: float = 0.0
    mixup: float = 0.0
    origin: Path | None = None
    repeats: Array | None = None

    @property
    def share(self) -> float:
        """How often any of its samples is drawn, relative to other sets."""
        return self.weight * float(len(self.samples) if self.repeats is None else self.repeats.sum())


def fingerprint(sets: Sequence[SampleSet]) -> str:
    """A hash of everything labelled and of how it is drawn, by which other data are known."""
    digest = hashlib.sha256()
    for part in sets:
        how = (len(part.samples), part.still, part.weight, part.scale_range, part.mosaic, part.mixup)
        digest.update(str(how).encode())
        if part.repeats is not None:
            digest.update(part.repeats.tobytes())
        for objects in (sample.objects for sample in part.samples):
            for column in (objects.boxes, objects.ids, objects.labels, objects.open_boxes, objects.open_labels):
                digest.update(column.tobytes())
    return digest.hexdigest()
