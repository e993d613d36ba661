"""How good weights are on held-out data, through the very pipeline that a robot runs.

Stills give the average precision of each class (``evaluation/detection.py``), over the images in which every object of
that class has a box; sequences are tracked and give MOTA, IDF1 and HOTA (``evaluation/scores.py``).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from qdtrack_model.data.held_out import HeldOut, HeldOutSequence
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, from_tracks, join
from qdtrack_model.data.samples import Sample, SampleError
from qdtrack_model.evaluation.detection import JudgedImage, Precision, average_precision, judged
from qdtrack_model.evaluation.scores import Scores, combine, evaluate
from qdtrack_model.pipeline import Pipeline

SCORE = "score"


@dataclass(frozen=True)
class Report:
    """What weights are worth.

    Args:
        stills: class -> set -> average precision; of sets in which no picture is complete for a class there is none.
        together: class -> average precision over all these sets as one.
        sequences: scores of each sequence.
    """

    stills: dict[str, dict[str, Precision]]
    together: dict[str, Precision]
    sequences: dict[str, Scores]

    @property
    def score(self) -> float:
        """The one number by which weights are chosen, 1 at best: the mean of AP50 over classes, all sets together, and
        of (MOTA + IDF1) / 2 over sequences; where one of the two is missing, the other.
        """
        precisions = [part.ap50 for part in self.together.values() if part.ap50 is not None]
        tracking = [(scores.mota + scores.idf1) / 2 for scores in self.sequences.values()]
        return float(np.mean([np.mean(part) for part in (precisions, tracking) if part]))

    def summary(self) -> str:
        """The main scores in one line, in per cent."""
        parts = [f"score {100 * self.score:.1f}"]
        parts += [f"AP50 {k} {100 * p.ap50:.1f}" for k, p in self.together.items() if p.ap50 is not None]
        parts += [f"{k} MOTA {100 * s.mota:.1f} IDF1 {100 * s.idf1:.1f}" for k, s in self.sequences.items()]
        return ", ".join(parts)

    def values(self) -> dict[str, float]:
        """Everything that is a number by its name, such as ``ap50/vehicle/dhaka`` or ``mota/plaza``; for logs."""
        found = {SCORE: self.score}
        for name, whole in self.together.items():
            for key, precision in {name: whole, **{f"{name}/{k}": p for k, p in self.stills[name].items()}}.items():
                if precision.ap50 is not None and precision.ap is not None:
                    found |= {f"ap50/{key}": precision.ap50, f"ap/{key}": precision.ap}
        for name, scores in self.sequences.items():
            found |= {f"mota/{name}": scores.mota, f"idf1/{name}": scores.idf1, f"hota/{name}": scores.hota}
        return found

    def to_mapping(self) -> dict[str, Any]:
        """All scores and counts, ready for JSON."""
        return {
            SCORE: self.score,
            "stills": {name: {key: vars(p) for key, p in sets.items()} for name, sets in self.stills.items()},
            "together": {name: vars(precision) for name, precision in self.together.items()},
            "sequences": {name: scores.to_mapping() for name, scores in self.sequences.items()},
        }


def validate(pipeline: Pipeline, held_out: HeldOut) -> Report:
    """Judge a pipeline. A picture that cannot be decoded is told on stderr and left out.

    Raises:
        ValueError: nothing in the stills is complete for any class, or there is nothing at all to judge by.
    """
    images: dict[str, dict[str, list[JudgedImage]]] = defaultdict(dict)
    for name, stills in held_out.stills.items():
        for label, found in _judge_stills(pipeline, name, stills).items():
            images[pipeline.classes[label]][name] = found
    report = Report(
        {name: {key: average_precision(part) for key, part in sets.items()} for name, sets in images.items()},
        {name: average_precision(image for part in sets.values() for image in part) for name, sets in images.items()},
        {name: _judge_sequence(pipeline, name, sequence) for name, sequence in held_out.sequences.items()},
    )
    if not report.sequences and all(precision.ap50 is None for precision in report.together.values()):
        raise ValueError(
            f"{', '.join(held_out.stills) or 'no data'}: no object in a picture that is complete for its class "
            f"({', '.join(pipeline.classes)}): nothing to validate by"
        )
    return report


def _judge_stills(pipeline: Pipeline, name: str, stills: Sequence[Sample]) -> dict[int, list[JudgedImage]]:
    """By class, the pictures of a set that are complete for it."""
    found: dict[int, list[JudgedImage]] = defaultdict(list)
    for still in _progress(stills, name, len(stills)):
        complete = [label for label in range(len(pipeline.classes)) if label not in still.objects.open_labels]
        if not complete:
            continue
        try:
            image = still.read()
        except SampleError as error:
            print(f"qdtrack: warning: left out: {error}", file=sys.stderr)
            continue
        [detections] = pipeline.detect([image.image])
        for label in complete:
            found[label].append(judged(image.objects.boxes, image.objects.labels, detections, label))
    return found


def _judge_sequence(pipeline: Pipeline, name: str, sequence: HeldOutSequence) -> Scores:
    """The scores of all stretches together, in each of which the tracker begins afresh."""
    columns, current = class_columns(pipeline.runtime.config), None
    rows: dict[tuple[int, int], list[MotBoxes]] = {stretch: [] for stretch in sequence.stretches}
    with sequence.images() as source:
        for frame in _progress(source, name, sequence.stretches[-1][1]):
            if frame.index > sequence.stretches[-1][1]:
                break
            stretch = next((s for s in sequence.stretches if s[0] <= frame.index <= s[1]), None)
            if stretch != current:
                pipeline.reset()
            current = stretch
            if stretch:
                rows[stretch].append(from_tracks(pipeline.process(frame.image, frame.time), frame.index, columns))
    pipeline.reset()
    parts = []
    for stretch, found in rows.items():
        results = join(found)
        known = results[np.isin(results.classes, sequence.columns)]
        parts.append(evaluate(sequence.truth.between(*stretch), known))
    return combine(parts)


def _progress(items: Iterable[Any], name: str, total: int) -> Iterable[Any]:
    return tqdm(items, desc=f"validating {name}", total=total, leave=False, disable=None)
