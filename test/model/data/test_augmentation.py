"""Crops of labelled images."""

from __future__ import annotations

import numpy as np

from qdtrack_model.data.augmentation import crop
from qdtrack_model.data.samples import LabelledImage

UNCHANGED = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def test_what_lies_beyond_the_frame_has_the_colour_of_the_padding() -> None:
    frame = LabelledImage(np.full((32, 64, 3), 90, np.uint8), np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))
    shifted = np.array([[1.0, 0, 16], [0, 1, -8]])
    view = crop(frame, shifted, (32, 64), (104, 116, 124), UNCHANGED, grey=False).image
    assert (view[:24, 16:] == 90).all()
    assert (view[24:] == (104, 116, 124)).all()
    assert (view[:, :16] == (104, 116, 124)).all()
