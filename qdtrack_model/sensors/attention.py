"""What of a camera's images is looked at: not its own bonnet, only some classes, no more often than asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from qdtrack_model.config import ConfigError
from qdtrack_model.structures import Array, Detections, Tracks

_NUMBER = r"-?\d{1,5}(?:\.\d+)?"  # OpenCV would draw for minutes towards a corner that is far out
_POLYGON = re.compile(rf"{_NUMBER},{_NUMBER}(?:\s+{_NUMBER},{_NUMBER}){{2,}}")
_HIDDEN = 0.5  # part of a box that lies in what is ignored, from which on it is, too


def class_scores(entries: Iterable[str]) -> dict[str, float]:
    """Class names and the lowest score of each, of entries such as ``pedestrian`` or ``vehicle:0.5``.

    Raises:
        ValueError: an entry is neither; by name.
    """
    found: dict[str, float] = {}
    for entry in filter(None, entries):
        name, _, text = entry.rpartition(":") if ":" in entry else (entry, "", "0")
        try:
            score = float(text)
        except ValueError:
            score = -1.0
        if not (name.strip() and 0 <= score <= 1):
            raise ValueError(f"got {entry!r}, expected the name of a class, or one with a score as in vehicle:0.5")
        found[name.strip()] = score
    return found


def least_scores(scores: Mapping[str, float], classes: Sequence[str]) -> Array:
    """The lowest score (C,) at which each class is looked at; infinite for those that are not.

    Raises:
        ValueError: a name is none of ``classes``.
    """
    unknown = sorted(set(scores) - set(classes))
    if unknown:
        raise ValueError(f"got {unknown[0]!r}, expected some of {', '.join(classes)}")
    return np.array([scores.get(name, np.inf) if scores else 0.0 for name in classes], np.float32)


class Region:
    """A part of the image: a polygon in pixels, or what is black in a picture, whatever that picture's size."""

    def __init__(self, text: str) -> None:
        """Read ``0,600 1280,600 640,500`` (corners) or the path of a picture.

        Raises:
            ValueError: it is neither.
        """
        self._mask: Array | None = None
        if _POLYGON.fullmatch(text.strip()):
            corners = [[float(number) for number in corner.split(",")] for corner in text.split()]
            self._corners = np.rint(corners).astype(np.int32)
            return
        picture = cv2.imread(str(Path(text.strip()).expanduser()), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise ValueError(f"got {text!r}, expected three corners or more as in 0,600 1280,600 640,500, or a picture")
        self._mask = (np.asarray(picture) == 0).astype(np.uint8)

    def drawn(self, image: Array) -> None:
        """Set what belongs to it to 1 in ``image`` (H, W) uint8."""
        if self._mask is None:
            cv2.fillPoly(image, [self._corners], 1)
        else:
            size = (image.shape[1], image.shape[0])
            np.maximum(image, cv2.resize(self._mask, size, interpolation=cv2.INTER_NEAREST), out=image)


def regions_of(camera: str, entries: Iterable[str], cameras: Sequence[str]) -> list[Region]:
    """The regions among ``entries`` for one of ``cameras``: those after its name and a colon, and those without any.

    Raises:
        ValueError: an entry is no region; by name.
    """
    found = []
    for entry in filter(None, entries):
        name, colon, text = entry.partition(":")
        named = bool(colon) and name in cameras
        if not named or name == camera:
            found.append(Region(text if named else entry))
    return found


class Ignored:
    """Regions of a camera's images in which nothing is looked at.

    Args:
        regions: of images of any size.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = regions
        self._size: tuple[int, int] | None = None
        self._sums = np.zeros((1, 1))

    def without(self, detections: Detections, size: tuple[int, int]) -> Detections:
        """The detections of an image of this ``size`` (width, height) of which less than half lies in a region."""
        if not self._regions or not len(detections):
            return detections
        if size != self._size:
            drawn = np.zeros((size[1], size[0]), np.uint8)
            for region in self._regions:
                region.drawn(drawn)
            self._size, self._sums = size, np.asarray(cv2.integral(drawn))
        corners = np.clip(np.rint(detections.boxes), 0, [*size, *size]).astype(np.int64)
        left, top, right, bottom = corners.T
        sums = self._sums
        hidden = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        seen = hidden < _HIDDEN * np.maximum((right - left) * (bottom - top), 1)
        return detections if seen.all() else detections[seen]


class Pace:
    """Thins the images of a camera out to a rate, by their stamps: on the average exactly, whatever theirs is."""

    def __init__(self) -> None:
        self._due: int | None = None

    def takes(self, stamp: int, rate: float) -> bool:
        """Whether the image of this stamp [ns] is taken, for ``rate`` images a second; all are for 0."""
        if rate <= 0:
            self._due = None
            return True
        period = round(1e9 / rate)
        early = period // 4  # no stamp is exact, and one that is a little early is better than the next
        due = self._due
        if due is not None and due - period <= stamp < due - early:
            return False
        in_step = due is not None and due - early <= stamp < due + period
        self._due = (due if in_step and due is not None else stamp) + period
        return True


class Attention:
    """What one camera's images are looked at for.

    Args:
        camera: its name.
        cameras: the names of all.
        ignore: regions, as :func:`regions_of` takes them.
        classes: that are told of, as :func:`class_scores` takes them.
        known: the classes of the network.
        rate: the most images a second [1/s]; 0 for all.

    Raises:
        ConfigError: a region or a class that cannot be used.
    """

    def __init__(
        self,
        camera: str,
        cameras: Sequence[str],
        ignore: Iterable[str],
        classes: Iterable[str],
        known: Sequence[str],
        rate: float,
    ) -> None:
        try:
            self._ignored = Ignored(regions_of(camera, ignore, cameras))
        except ValueError as error:
            raise ConfigError(f"ignore: {error}") from None
        try:
            self._least = least_scores(class_scores(classes), known)
        except ValueError as error:
            raise ConfigError(f"classes: {error}") from None
        self._pace, self._rate = Pace(), rate

    def takes(self, stamp: int) -> bool:
        """Whether the next image, of this stamp [ns], is looked at."""
        return self._pace.takes(stamp, self._rate)

    def without_ignored(self, detections: Detections, size: tuple[int, int]) -> Detections:
        """The detections of an image of this ``size`` (width, height) that may be tracked."""
        return self._ignored.without(detections, size)

    def told(self, tracks: Tracks, least: float) -> Tracks:
        """The tracks that are told of: all of them must score ``least``."""
        enough = tracks.scores >= np.maximum(self._least[tracks.labels], least)
        return tracks if enough.all() else tracks[enough]
