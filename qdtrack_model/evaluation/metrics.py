"""The metric classes of TrackEval (https://github.com/JonathonLuiten/TrackEval), and frames as they take them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdtrack_model.evaluation.frames import EvaluationError, ScoredFrame


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
