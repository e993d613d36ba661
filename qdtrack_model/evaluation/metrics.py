"""Scores by motmetrics (https://github.com/cheind/py-motmetrics)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from qdtrack_model.structures import Array


def motmetrics_values(frames: Iterable[tuple[Array, Array, Array]], names: Sequence[str]) -> dict[str, float]:
    """What motmetrics computes under ``names`` for one sequence.

    Args:
        frames: each frame's ids (T,) of the ground truth and (R,) of the results, and their distances (T, R): 1 - IoU,
            NaN where they cannot match. Its own distances fail on NumPy 2.
        names: of its metrics.
    """
    import motmetrics

    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    with motmetrics.lap.set_default_solver("scipy"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas, about how motmetrics calls it
        for truth_ids, result_ids, distances in frames:
            accumulator.update(truth_ids, result_ids, distances)
        table = motmetrics.metrics.create().compute(accumulator, metrics=list(names), return_dataframe=False)
    return {name: float(value) for name, value in table.items()}
