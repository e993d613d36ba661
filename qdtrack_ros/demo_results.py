"""What the demonstration measured: frames, latencies, tracks and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qdtrack_model.data.mot import MotBoxes, mot_class
from qdtrack_model.evaluation import Scores, evaluate
from qdtrack_model.structures import Array
from qdtrack_ros.demo_material import Material
from qdtrack_ros.recorder import Received


@dataclass(frozen=True, eq=False)
class DemoResults:
    """One run.

    Args:
        sent: header stamp [ns] -> ``time.monotonic()`` at which the image left.
        received: header stamp [ns] -> the tracks that came back.
        scores: against the ground truth, None where there is none.
    """

    material: Material
    weights: str
    sent: Mapping[int, float]
    received: Mapping[int, Received]
    scores: Scores | None
    log: Path

    @classmethod
    def of(
        cls, material: Material, weights: str, sent: Mapping[int, float], received: Mapping[int, Received], log: Path
    ) -> DemoResults:
        """Score what came back."""
        truth = material.ground_truth
        scores = None
        if truth is not None:
            # Where only a part of the images has ground truth, only that part is scored.
            first, last = int(truth.frames.min()), int(truth.frames.max())
            scores = evaluate(truth, _boxes(material, received).between(first, last))
        return cls(material, weights, sent, received, scores, log)

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
        ]


def results_boxes(results: DemoResults) -> MotBoxes:
    """The tracks that came back as MOTChallenge rows (ids from 1)."""
    return _boxes(results.material, results.received)


def _boxes(material: Material, received: Mapping[int, Received]) -> MotBoxes:
    classes = np.array([mot_class(name, index) for index, name in enumerate(material.classes)])
    frames, ids, boxes, scores, labels = [], [], [], [], []
    for stamp in sorted(received):
        tracks = received[stamp].tracks
        frames.append(np.full(len(tracks), material.frame_of[stamp]))
        ids.append(tracks.ids + 1)
        boxes.append(tracks.boxes.astype(np.float64))
        scores.append(tracks.scores)
        labels.append(classes[tracks.labels])
    if not frames:
        none = np.zeros(0)
        return MotBoxes(none, none, np.zeros((0, 4)), none, none, none)
    return MotBoxes(
        np.concatenate(frames),
        np.concatenate(ids),
        np.concatenate(boxes),
        np.concatenate(scores),
        np.concatenate(labels),
        np.full(sum(map(len, frames)), -1.0),
    )
