"""What became of the images of one camera lately: rates, drops, and how long each stage took."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qdtrack_model.structures import Array

STAGES = ("wait", "decode", "preprocess", "network", "track", "publish")
PROCESSING = "processing"  # all of them but the first: how long the node is busy with an image
_SAMPLES = 256  # some ten seconds of a usual camera
_WINDOW = 5  # seconds that rates are taken over, as in diagnostic_updater


class Samples:
    """The latest values of one quantity, in memory of fixed size; one thread may add while another one reads."""

    def __init__(self, capacity: int = _SAMPLES) -> None:
        self._values = np.zeros(capacity)
        self._count = 0

    def add(self, value: float) -> None:
        """Take a value in, in the place of the oldest."""
        self._values[self._count % len(self._values)] = value
        self._count += 1

    def percentiles(self, *wanted: float) -> Array | None:
        """The given percentiles (0..100) of the values held; None if there are none."""
        held = self._values[: self._count]
        return np.percentile(held, wanted) if len(held) else None


@dataclass
class Counts:
    """What became of the images since activation."""

    received: int = 0
    lost: int = 0  # published and never received, as far as the middleware tells
    skipped: int = 0  # left out, because more came than max_rate asks for
    dropped: int = 0  # pushed out of the queue by newer ones
    repeated: int = 0  # came a second time with the same stamp
    late: int = 0  # came after an image with a newer stamp
    unusable: int = 0  # broken
    failed: int = 0  # good, but the network or the tracker failed on them, or the network was down
    tracked: int = 0
    not_drawn: int = 0  # tracked, but newer ones came before their pictures were made
    without_depth: int = 0  # tracked, but not in space, which was asked for
    missing_transforms: int = 0  # tracked, but tf does not connect the frames that were asked for
    late_transforms: int = 0  # tracked, but tf has no transform for the image's stamp, or none in time
    without_motion: int = 0  # tracked, but how the camera turned was asked for and not known
    interruptions: int = 0  # of a video: packets were missing or broken, and the next key frame was waited for

    @property
    def without_transform(self) -> int:
        """Tracked, but not placed in the frame that was asked for."""
        return self.missing_transforms + self.late_transforms

    def __str__(self) -> str:
        text = (
            f"{self.received} images received, {self.tracked} tracked, {self.dropped} dropped,"
            f" {self.late} late, {self.repeated} repeated, {self.unusable} unusable"
        )
        rare = {
            "skipped": self.skipped, "failed": self.failed, "lost on the way": self.lost,
            "without depth": self.without_depth,
            "missing transforms": self.missing_transforms, "late transforms": self.late_transforms,
            "without motion": self.without_motion, "interruptions of the video": self.interruptions,
        }  # fmt: skip
        return ", ".join([text, *(f"{count} {name}" for name, count in rare.items() if count)])


@dataclass(frozen=True)
class Recent:
    """What became of the images of the last seconds: a second to five."""

    received_rate: float  # images/s
    tracked_rate: float  # images/s
    received: int
    lost: int
    dropped: int
    unusable: int
    failed: int
    without_depth: int
    without_transform: int
    skipped: int = 0


class Monitor:
    """Collects what the diagnostics of a camera are made of; an image costs some microseconds.

    Attributes:
        counts: what became of the images.
        stages: seconds that each of STAGES took, and PROCESSING.
        ages: seconds from an image's stamp until its tracks were published.
        seen: tracks in the latest image.
        unusable: what was wrong with the latest broken image; "" before the first.
        failure: what went wrong with the latest image that failed; "" before the first.
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self.stages = {name: Samples() for name in (*STAGES, PROCESSING)}
        self.ages = Samples()
        self.seen = 0
        self.unusable = self.failure = ""
        self._history: deque[tuple[float, Counts]] = deque(maxlen=_WINDOW + 1)  # one a second

    def add(self, timings: Mapping[str, float], age: float | None) -> None:
        """Take in one published image.

        Args:
            timings: seconds that each of STAGES took.
            age: seconds from its stamp until now; None where it has none.
        """
        for name in STAGES:
            self.stages[name].add(timings[name])
        self.stages[PROCESSING].add(sum(timings[name] for name in STAGES if name != "wait"))
        if age is not None:
            self.ages.add(age)

    def recent(self, moment: float) -> Recent | None:
        """What became of the images of the last seconds; None until images came for a second.

        Args:
            moment: now [s], of a clock that only grows; to be called once a second.
        """
        if self.counts.received == 0:
            return None
        self._history.append((moment, replace(self.counts)))
        (begin, before), (end, after) = self._history[0], self._history[-1]
        if end == begin:
            return None
        return Recent(
            received_rate=(after.received - before.received) / (end - begin),
            tracked_rate=(after.tracked - before.tracked) / (end - begin),
            received=after.received - before.received,
            lost=after.lost - before.lost,
            dropped=after.dropped - before.dropped,
            unusable=after.unusable - before.unusable,
            failed=after.failed - before.failed,
            without_depth=after.without_depth - before.without_depth,
            without_transform=after.without_transform - before.without_transform,
            skipped=after.skipped - before.skipped,
        )
