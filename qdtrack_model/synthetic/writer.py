"""A synthetic scene as a MOTChallenge sequence folder or as a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from qdtrack_model.data.images import JPEG_QUALITY
from qdtrack_model.data.readers.mot import (
    IGNORED_CLASS,
    MotBoxes,
    SequenceInfo,
    join,
    mot_class,
    write_mot,
    write_seqinfo,
)
from qdtrack_model.synthetic.config import CLASSES, MINIMUM_HEIGHT, MINIMUM_VISIBILITY, SceneConfig
from qdtrack_model.synthetic.scene import Scene, Truth


def ignored(config: SceneConfig, truth: Truth) -> np.ndarray:
    """(N,) bool: objects too hidden or too small to be asked of a tracker."""
    heights = truth.boxes[:, 3] - truth.boxes[:, 1]
    return np.asarray((truth.visibilities < MINIMUM_VISIBILITY) | (heights < MINIMUM_HEIGHT * config.size[1] / 720))


def mot_rows(config: SceneConfig, truth: Truth, frame: int) -> MotBoxes:
    """The truth of one frame as MOTChallenge rows: ids from 1; ignored objects have confidence 0 and class 8."""
    skip = ignored(config, truth)
    columns = np.array([mot_class(name, index) for index, name in enumerate(CLASSES)], np.int64)
    return MotBoxes(
        np.full(len(skip), frame), truth.ids + 1, truth.boxes, np.where(skip, 0.0, 1.0),
        np.where(skip, IGNORED_CLASS, columns[truth.classes]), truth.visibilities,
    )  # fmt: skip


def write_sequence(scene: Scene, folder: str | Path, progress: Callable[[], object] | None = None) -> None:
    """Render the scene into ``folder``: img1/000001.jpg ..., gt/gt.txt, seqinfo.ini.

    Args:
        scene: what is rendered.
        folder: whose name is that of the sequence.
        progress: called after each frame.

    Raises:
        OSError: something cannot be written.
    """
    folder, config = Path(folder), scene.config
    (folder / "img1").mkdir(parents=True, exist_ok=True)
    parts = []
    for number, frame in enumerate(scene, start=1):
        path = folder / "img1" / f"{number:06d}.jpg"
        if not cv2.imwrite(str(path), frame.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise OSError(f"{path}: cannot be written")
        parts.append(mot_rows(config, frame.truth, number))
        if progress is not None:
            progress()
    write_mot(folder / "gt" / "gt.txt", join(parts))
    write_seqinfo(folder, SequenceInfo(folder.name, config.frame_rate, config.frames, *config.size))


def write_scene_bag(scene: Scene, folder: str | Path, progress: Callable[[], object] | None = None) -> None:
    """Render the scene into a new bag with images, camera info and ground truth, see :mod:`qdtrack_model.data.bags`.

    Raises:
        BagError: the folder exists.
    """
    from qdtrack_model.data.bags import BagFrame, write_bag  # the rosbags package is needed for bags alone

    def frames() -> Iterator[BagFrame]:
        for number, frame in enumerate(scene, start=1):
            yield BagFrame(frame.image, mot_rows(scene.config, frame.truth, number))
            if progress is not None:
                progress()

    write_bag(folder, frames(), scene.config.frame_rate, intrinsics=scene.street.camera.intrinsics)
