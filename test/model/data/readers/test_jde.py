"""JDE's labels: ids of -1 and from 0, sequences and stills side by side, images without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.data.readers import jde
from qdtrack_model.data.reading import DataError, Reading

Ask, Picture = Callable[..., Reading], Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    """A sequence of four frames, two stills, and images without labels that nobody asks for."""

    def label(name: str, *rows: str) -> None:
        picture(tmp_path / "images" / f"{name}.jpg")
        path = tmp_path / "labels_with_ids" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows))

    for frame in (1, 2, 10):
        label(f"train/seq/img1/{frame}", "0 0 0.5 0.5 0.25 0.5", "0 7 0 0.5 0.5 0.5", "1 3 0.5 0.5 0.1 0.1")
    picture(tmp_path / "images" / "train" / "seq" / "img1" / "11.jpg")
    label("stills/a", "0 -1 0.5 0.5 0.1 0.1", "0 -1 0.2 0.2 0.1 0.1")
    label("stills/b", "0 -1 0.5 0.5 0 0.1")
    picture(tmp_path / "images" / "test" / "c.jpg")
    return tmp_path


def test_sequences_and_stills_are_told_apart_by_their_ids(folder: Path, asked: Ask) -> None:
    assert jde.recognises(folder)
    recordings, odd = jde.read(folder, asked({"vehicle": ("1",)}))
    stills, sequence = recordings
    assert [(part.name, part.still) for part in recordings] == [("stills", True), ("train/seq/img1", False)]
    assert [sample.objects.ids.tolist() for sample in stills.samples] == [[-1, -1], []]
    assert stills.samples[0].objects.open_labels.tolist() == [1], "of what no row names more may be there"
    objects = [sample.objects for sample in sequence.samples]
    assert [len(part.boxes) for part in objects] == [3, 3, 3, 0], "in the order of the numbers"
    np.testing.assert_allclose(objects[0].boxes[:2], [[30, 15, 50, 45], [-20, 15, 20, 45]])
    assert objects[0].labels.tolist() == [0, 0, 1]
    assert len(objects[0].open_labels) == 0
    assert len(set(objects[0].ids)) == 3
    assert min(objects[0].ids) >= 0
    assert odd == {"boxes without area: left out": 1}


def test_pixels_are_refused(folder: Path, asked: Ask) -> None:
    (folder / "labels_with_ids" / "stills" / "a.txt").write_text("0 1 40 30 20 20")
    with pytest.raises(DataError, match=r"a\.txt, line 1: x is 40, expected a part of the image's size, not pixels"):
        jde.read(folder, asked())


def test_labels_without_images_are_no_data(tmp_path: Path, asked: Ask) -> None:
    (tmp_path / "labels_with_ids" / "a").mkdir(parents=True)
    (tmp_path / "labels_with_ids" / "a" / "1.txt").write_text("0 1 .5 .5 .1 .1")
    with pytest.raises(DataError, match="no folder of images"):
        jde.read(tmp_path, asked())
