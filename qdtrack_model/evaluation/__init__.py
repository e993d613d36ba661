"""Scores of tracking against ground truth: scene scoring by rules of our own, and the protocols of benchmarks."""

from qdtrack_model.evaluation.folders import evaluate_folders
from qdtrack_model.evaluation.frames import EvaluationError
from qdtrack_model.evaluation.scores import Scores, evaluate

__all__ = ["EvaluationError", "Scores", "evaluate", "evaluate_folders"]
