"""MOTChallenge (https://motchallenge.net): a text file a sequence, pedestrians alone, the last three columns -1.

MOT17 has every sequence under three names, by the detector whose boxes come with it; who finds boxes of his own has one
result for all of them, which is written three times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.data.readers.mot import MOT_CLASSES
from qdtrack_model.data.sources import open_source
from qdtrack_model.data.writers import Video, WriterError
from qdtrack_model.structures import Tracks

THRICE = re.compile(r"(MOT17-\d\d)-(?:DPM|FRCNN|SDP)")
DETECTORS = ("DPM", "FRCNN", "SDP")
PEDESTRIAN = 1


class MotWriter:
    """Writes ``OUTPUT/SEQUENCE.txt``, each as soon as it is tracked.

    Args:
        data: a sequence (``img1/`` beside ``seqinfo.ini``) or a folder of them.
        output: a folder.
        classes: of the network.

    Raises:
        WriterError: no sequence is there, or the network knows no pedestrians.
        SourceError: a sequence cannot be read.
    """

    def __init__(self, data: Path, output: Path, classes: Sequence[str]) -> None:
        folders = [data] if (data / "seqinfo.ini").is_file() else sorted(p.parent for p in data.glob("*/seqinfo.ini"))
        if not folders:
            raise WriterError(f"{data}: expected seqinfo.ini and img1/ in it or in the folders below it")
        self._people = [label for label, name in enumerate(classes) if MOT_CLASSES.get(name.lower()) == PEDESTRIAN]
        if not self._people:
            raise WriterError(f"MOTChallenge scores pedestrians, and the network knows {', '.join(classes)}")
        once = {_common_name(folder.resolve().name): folder for folder in folders}
        self.videos: Sequence[Video] = [Video(name, open_source(folder), {}) for name, folder in once.items()]
        self._output = output

    def write(self, results: Iterable[tuple[Video, Mapping[int, Tracks]]]) -> None:
        """Write the file of each sequence, of MOT17 all three."""
        self._output.mkdir(parents=True, exist_ok=True)
        for video, tracks in results:
            self._write_sequence(video, tracks)

    def _write_sequence(self, video: Video, tracks: Mapping[int, Tracks]) -> None:
        lines = [line for frame in sorted(tracks) for line in self._lines(frame, tracks[frame])]
        names = [f"{video.name}-{d}" for d in DETECTORS] if re.fullmatch(r"MOT17-\d\d", video.name) else [video.name]
        for name in names:
            with atomic_write(self._output / f"{name}.txt") as partial:
                partial.write_text("".join(lines), encoding="utf-8")

    def _lines(self, frame: int, tracks: Tracks) -> list[str]:
        people = tracks[np.isin(tracks.labels, self._people)]
        return [
            f"{frame},{identity + 1},{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},{score:.4g},-1,-1,-1\n"
            for identity, (x1, y1, x2, y2), score in zip(people.ids, people.boxes, people.scores, strict=True)
        ]


def _common_name(name: str) -> str:
    """The name of a sequence without the detector of MOT17."""
    found = THRICE.fullmatch(name)
    return found[1] if found else name
