"""The libraries that compute scores: TrackEval (https://github.com/JonathonLuiten/TrackEval) and motmetrics
(https://github.com/cheind/py-motmetrics), and frames as they take them."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from qdtrack_model.evaluation.frames import EvaluationError, ScoredFrame
from qdtrack_model.structures import Array


def trackeval_metric(name: str) -> Any:
    """A metric of TrackEval by its class: HOTA, CLEAR, Identity or Count.

    Raises:
        EvaluationError: trackeval is not installed.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what data sets not used here would need
            from trackeval import metrics
    except ImportError as error:
        # With its dependencies comes opencv-python, which overwrites the headless one and needs a screen's libraries.
        raise EvaluationError(f"trackeval is not installed ({error}): pip install --no-deps trackeval") from None
    return getattr(metrics, name)({"PRINT_CONFIG": False})


def trackeval_data(frames: Sequence[ScoredFrame]) -> dict[str, Any]:
    """The frames as the metric classes take them: ids counted from 0."""
    truth_ids = np.unique(np.concatenate([f.truth_ids for f in frames]))
    result_ids = np.unique(np.concatenate([f.result_ids for f in frames]))
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": len(truth_ids),
        "num_tracker_ids": len(result_ids),
        "num_gt_dets": sum(len(f.truth_ids) for f in frames),
        "num_tracker_dets": sum(len(f.result_ids) for f in frames),
        "gt_ids": [np.searchsorted(truth_ids, f.truth_ids) for f in frames],
        "tracker_ids": [np.searchsorted(result_ids, f.result_ids) for f in frames],
        "similarity_scores": [f.similarity for f in frames],
    }


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
