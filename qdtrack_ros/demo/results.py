"""What the demonstration measured: frames, latencies, tracks and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from qdtrack_model.data.readers.mot import MotBoxes, mot_class
from qdtrack_model.evaluation import Scores, evaluate
from qdtrack_model.structures import Array
from qdtrack_ros.demo.material import Material
from qdtrack_ros.demo.recorder import Received, Recorder


@dataclass(frozen=True, eq=False)
class DemoResults:
    """One run.

    Args:
        sent: header stamp [ns] -> ``time.monotonic()`` at which the image left.
        received: header stamp [ns] -> the tracks that came back.
        classes: names of the network's classes, "" for one that was never seen.
        scores: against the ground truth, None where there is none.
        processing: median of the seconds that the node was busy with an image; NaN where it did not tell.
    """

    material: Material
    weights: str
    sent: Mapping[int, float]
    received: Mapping[int, Received]
    classes: tuple[str, ...]
    scores: Scores | None
    log: Path
    processing: float

    @classmethod
    def of(
        cls, material: Material, weights: str, sent: Mapping[int, float], recorder: Recorder, log: Path
    ) -> DemoResults:
        """Score what came back."""
        received = dict(recorder.received)
        classes = tuple(recorder.classes.get(index, "") for index in range(max(recorder.classes, default=-1) + 1))
        unscored = cls(material, weights, sent, received, classes, None, log, recorder.processing)
        truth = material.ground_truth
        if truth is None:
            return unscored
        # Where only a part of the images has ground truth, only that part is scored.
        first, last = int(truth.frames.min()), int(truth.frames.max())
        return replace(unscored, scores=evaluate(truth, unscored.boxes().between(first, last)))

    @property
    def latencies(self) -> Array:
        """Seconds from publishing an image to having its tracks, in the order of sending; NaN for lost ones."""
        return np.array(
            [self.received[s].moment - left if s in self.received else np.nan for s, left in self.sent.items()]
        )

    def table(self) -> list[tuple[str, str]]:
        """Labels and values, as shown on the terminal and in the report."""
        latencies = 1e3 * self.latencies
        seen = latencies[np.isfinite(latencies)]
        median, high = np.percentile(seen, [50, 95]) if len(seen) else (np.nan, np.nan)
        rows = []
        if self.scores is not None:
            rows += [(name, f"{100 * getattr(self.scores, name.lower()):.1f}") for name in ("MOTA", "IDF1", "HOTA")]
            rows += [
                ("ID switches", str(self.scores.id_switches)),
                ("false positives", str(self.scores.false_positives)),
                ("false negatives", str(self.scores.false_negatives)),
            ]
        back = len(seen)
        return [
            *rows,
            ("frames in", str(len(self.sent))),
            ("frames out", str(back)),
            ("frames dropped", str(len(self.sent) - back)),
            ("latency median", f"{median:.1f} ms"),
            ("latency p95", f"{high:.1f} ms"),
            ("processing median", f"{1e3 * self.processing:.1f} ms"),
            ("reserve", f"x{self.reserve:.1f}"),
        ]

    @property
    def reserve(self) -> float:
        """How many times as many images a second could have been tracked; below 1 there were too many."""
        return 1.0 / (self.material.frame_rate * self.processing)

    def advice(self) -> str:
        """What the reserve means, in a sentence or two, and what to do where there is none."""
        lost = len(self.sent) - len(self.received)
        if not np.isfinite(self.reserve):
            return "The node did not tell how long an image takes: too few images."
        told = (
            f"The node is busy with an image for {1e3 * self.processing:.0f} ms, and one comes every "
            f"{1e3 / self.material.frame_rate:.0f} ms: reserve x{self.reserve:.1f}."
        )
        if self.reserve < 1:
            return (
                f"{told} The newest image was always the next, {lost} were left out. For more of them end other "
                "programs, take a smaller input (qdtrack export WEIGHTS --size 288x512 --precision bf16), or a "
                "processor or GPU that docs/deployment.md names."
            )
        return f"{told} Still {lost} images were left out: other programs had the processor." if lost else told

    def scoring(self) -> str:
        """What the scores were held against, in a sentence."""
        truth = self.material.ground_truth
        if truth is None:
            return "No ground truth lies beside these images: not scored."
        first, last = int(truth.frames.min()), int(truth.frames.max())
        objects = len(np.unique(truth.ids[truth.confidences > 0]))
        return f"Scored on frames {first} to {last}, in which {objects} objects appear (matches at IoU .5 or more)."

    def boxes(self) -> MotBoxes:
        """The tracks that came back as MOTChallenge rows (ids from 1)."""
        kinds = np.array([mot_class(name, index) for index, name in enumerate(self.classes)], np.int64)
        none = np.zeros(0)
        rows = [MotBoxes(none, none, np.zeros((0, 4)), none, none, none)]
        for stamp in sorted(self.received):
            tracks = self.received[stamp].tracks
            frame = np.full(len(tracks), self.material.frame_of[stamp])
            unknown = np.full(len(tracks), -1.0)
            rows.append(MotBoxes(frame, tracks.ids + 1, tracks.boxes, tracks.scores, kinds[tracks.labels], unknown))
        columns = [[getattr(row, field.name) for row in rows] for field in fields(MotBoxes)]
        return MotBoxes(*(np.concatenate(column) for column in columns))
