"""The tiny scene that networks learn in the tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from qdtrack_model.data.samples import LabelledImage, Objects


def moving_blocks(ids: tuple[int, ...] = (0, 1, 2)) -> list[LabelledImage]:
    """Three textured blocks that cross a grey field, and their ids."""
    random = np.random.default_rng(0)
    textures = random.integers(0, 255, (3, 24, 12, 3), dtype=np.uint8)
    frames = []
    for t in range(8):
        image = np.full((64, 96, 3), 120, np.uint8)
        boxes = []
        for i, texture in enumerate(textures):
            x, y = 5 + 28 * i + t, 10 + 5 * i
            image[y : y + 24, x : x + 12] = texture
            boxes.append([x, y, x + 12, y + 24])
        frames.append(LabelledImage(image, Objects(np.array(boxes, float), np.array(ids), np.zeros(3, int))))
    return frames


def write_folder(folder: Path) -> Path:
    """The moving blocks as a MOTChallenge folder."""
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    lines = []
    for t, frame in enumerate(moving_blocks(), start=1):
        cv2.imwrite(str(folder / "img1" / f"{t:06d}.png"), frame.image)
        for number, (x1, y1, x2, y2) in zip(frame.objects.ids, frame.objects.boxes, strict=True):
            lines.append(f"{t},{number + 1},{x1},{y1},{x2 - x1},{y2 - y1},1,1,1")
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\nname=blocks\nimDir=img1\nframeRate=10\nseqLength=8\nimWidth=96\nimHeight=64\nimExt=.png\n"
    )
    return folder
