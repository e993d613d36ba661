"""Draw tracks beside what people saw: ``python tools/tracks_picture.py picture.png GT.txt TRACKS.txt [GT.txt ...]``.

One panel for each pair of MOTChallenge files: the paths of feet in the image, the ground truth's wide and grey,
the tracks' thin and of one colour for each id, and the boxes of the frame in the middle. It shows recordings whose
images may not be shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from qdtrack_model.data.readers.mot import MotBoxes, read_mot
from qdtrack_model.drawing.overlay import colour_of


def draw(axes: Axes, truth: MotBoxes, tracks: MotBoxes, title: str) -> None:
    """One recording."""
    seen = truth.confidences > 0
    middle = int(np.median(truth.frames[seen]))
    for boxes, known, width in ((truth, seen, 5.0), (tracks, np.ones(len(tracks), bool), 1.6)):
        for identity in np.unique(boxes.ids[known]):
            rows = known & (boxes.ids == identity)
            colour = "0.8" if boxes is truth else tuple(part / 255 for part in colour_of(int(identity))[::-1])
            left, _, right, foot = boxes.boxes[rows][np.argsort(boxes.frames[rows], kind="stable")].T
            axes.plot((left + right) / 2, foot, color=colour, linewidth=width, solid_capstyle="round")
            for x1, y1, x2, y2 in boxes.boxes[rows & (boxes.frames == middle)]:
                edge = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width)
                axes.add_patch(edge)
    corner = truth.boxes[seen].max(axis=0)
    axes.set(title=title, xlim=(0, corner[2]), ylim=(corner[3] + 8, 0), aspect="equal", xticks=[], yticks=[])


def main(picture: Path, *files: Path) -> None:
    """Read the files in pairs, write the picture."""
    pairs = list(zip(files[::2], files[1::2], strict=True))
    figure, panels = pyplot.subplots(1, len(pairs), figsize=(5.5 * len(pairs), 4), layout="constrained", squeeze=False)
    for axes, (truth, tracks) in zip(panels[0], pairs, strict=True):
        frames = read_mot(tracks).frames
        draw(axes, read_mot(truth).between(frames.min(), frames.max()), read_mot(tracks), tracks.stem)
    figure.savefig(picture, dpi=90)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
