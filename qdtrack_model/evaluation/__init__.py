"""Scores of multi-object tracking against ground truth: CLEAR MOT, identity (motmetrics) and HOTA (trackeval)."""

from qdtrack_model.evaluation.folders import evaluate_folders
from qdtrack_model.evaluation.frames import EvaluationError
from qdtrack_model.evaluation.scores import Scores, evaluate

__all__ = ["EvaluationError", "Scores", "evaluate", "evaluate_folders"]
