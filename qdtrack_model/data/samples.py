"""What training learns from: labelled images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

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


def with_local_ids(frame: LabelledImage) -> LabelledImage:
    """The frame with new ids for the objects of unknown identity: within one image all objects are different."""
    new = frame.ids.max(initial=-1) + 1 + np.arange(len(frame.ids))
    return replace(frame, ids=np.where(frame.ids < 0, new, frame.ids))


def fingerprint(sequences: Sequence[Sequence[LabelledImage]]) -> str:
    """A hash of everything labelled in the sequences, by which other data are known."""
    digest = hashlib.sha256()
    for frames in sequences:
        digest.update(str(len(frames)).encode())
        for frame in frames:
            for column in (frame.boxes, frame.ids, frame.labels):
                digest.update(column.tobytes())
    return digest.hexdigest()
