"""Settings of the tracker chosen by Optuna on cached detections, and how much better they are on bags not chosen on.

Cross-validation leaves out one bag at a time: a study for each bag chooses settings on all others, and the bag left out
says what they are worth. A last study chooses on all bags; its settings are what is recommended. Studies are kept in a
file after every trial and go on where they stopped.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdtrack_model import tracking
from qdtrack_model.config import TrackerConfig, to_mapping
from qdtrack_model.data.readers.mot import from_tracks, join
from qdtrack_model.evaluation.by_frame import by_frame, scores_of
from qdtrack_model.replay.detections import read_detections
from qdtrack_model.replay.run import Run
from qdtrack_model.replay.sequence import DETECTIONS, ReplayedSequence
from qdtrack_model.structures import Array
from qdtrack_model.tracker_config import retuned

if TYPE_CHECKING:
    from optuna.study import Study

TRIALS = "trials.log"
ALL_BAGS = "all bags"
METRICS = ("hota", "idf1", "mota", "assa")
_QUASI_DENSE = {
    "init_score": (0.2, 0.95), "object_score": (0.1, 0.8), "match_score": (0.2, 0.8), "momentum": (0.05, 1.0),
    "backdrop_iou": (0.1, 0.7), "class_iou": (0.3, 0.9), "discard_score": (0.2, 0.8),
}  # fmt: skip
SPACES: dict[str, dict[str, tuple[float, float]]] = {  # kind of tracker -> setting -> least and greatest value
    "quasi_dense": _QUASI_DENSE,
    "tao": {"init_score": (0.01, 0.9), "object_score": (0.01, 0.8), "match_score": (0.2, 0.8), "momentum": (0.05, 1.0)},
    "fairmot": {
        "min_score": (0.1, 0.9), "embedding_limit": (0.1, 0.9), "iou_limit": (0.1, 0.9), "tentative_limit": (0.1, 0.9),
        "momentum": (0.05, 1.0),
    },
}  # fmt: skip
_MEMORY = (0.2, 8.0)  # of the memory's span as it is: how many times shorter or longer it may be


class TuningError(ValueError):
    """Runs that cannot be tuned on, or a tuning that cannot go on; the text says why."""


@dataclass(frozen=True, eq=False)
class Bag:
    """The scored sequences of one bag, whose detections are cached."""

    name: str
    sequences: list[ReplayedSequence]


@dataclass(frozen=True)
class Fold:
    """A bag that was left out: its score as it was, and with what was chosen on the others; per cent."""

    bag: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        """What was won."""
        return self.after - self.before


@dataclass(frozen=True, eq=False)
class Tuned:
    """What came of it.

    Args:
        metric: that was maximised.
        folds: each bag left out.
        before: score of all bags as it was, per cent.
        after: with the settings chosen on all, which is too good: they were chosen on these bags.
        values: settings chosen on all bags.
        importance: setting -> share of what differences in the score are due to; empty where too few trials tell.
        history: score of each trial on all bags, per cent.
    """

    metric: str
    folds: list[Fold]
    before: float
    after: float
    values: Mapping[str, float]
    importance: Mapping[str, float]
    history: list[float]

    @property
    def gain(self) -> float:
        """Mean gain on bags left out."""
        return statistics.fmean(fold.gain for fold in self.folds)

    @property
    def spread(self) -> float:
        """Standard deviation of the gains."""
        return statistics.stdev(fold.gain for fold in self.folds)

    @property
    def sure(self) -> bool:
        """Whether the gain on unseen bags is larger than its spread."""
        return self.gain > max(self.spread, 0.0)

    def verdict(self) -> str:
        """How sure it is, in a sentence."""
        name, count = self.metric.upper(), len(self.folds)
        told = f"{name} on bags left out: {self.gain:+.2f} (spread {self.spread:.2f} over {count} bags)"
        return f"{told}: better" if self.sure else f"{told}: no better than by chance, keep the settings as they are"

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "metric": self.metric, "gain": round(self.gain, 4), "spread": round(self.spread, 4), "sure": self.sure,
            "verdict": self.verdict(), "before": round(self.before, 4), "chosen_on_all": round(self.after, 4),
            "folds": [{"bag": f.bag, "before": round(f.before, 4), "after": round(f.after, 4)} for f in self.folds],
            "values": dict(self.values), "importance": {k: round(v, 4) for k, v in self.importance.items()},
            "trials": len(self.history),
        }  # fmt: skip


def bags_of(runs: Sequence[Run]) -> list[Bag]:
    """The bags of runs by what they are called there.

    Raises:
        TuningError: fewer than two bags with ground truth and cached detections.
    """
    bags: dict[str, Bag] = {}
    for run in runs:
        for told, sequence in run.sequences():
            truth = sequence.truth
            if (
                truth is None
                or not (truth.boxes.confidences != 0).any()
                or not (sequence.folder / DETECTIONS).is_file()
            ):
                continue
            bags.setdefault(told["bag"], Bag(told["bag"], [])).sequences.append(sequence)
    if len(bags) < 2:
        raise TuningError(
            f"got {len(bags)} bags with ground truth and cached detections, expected two or more: what is chosen on "
            "one bag alone tells nothing of others"
        )
    return list(bags.values())


def score(bags: Sequence[Bag], config: TrackerConfig, columns: Array, metric: str) -> float:
    """The score of bags together with these settings, in per cent."""
    sums = [_sums(sequence, config, columns) for bag in bags for sequence in bag.sequences]
    return 100 * scores_of(sum(counts for counts, _ in sums), sum(hota for _, hota in sums))[metric]  # type: ignore[arg-type]


def _sums(sequence: ReplayedSequence, config: TrackerConfig, columns: Array) -> tuple[Array, Array]:
    assert sequence.truth is not None
    tracker = tracking.build(config)
    found = join([
        from_tracks(tracker.update(frame.detections, frame.time), frame.number, columns)
        for frame in read_detections(sequence.folder / DETECTIONS)
    ])  # fmt: skip
    parts = by_frame(sequence.truth.boxes, sequence.truth.scored(found))
    return parts.counts.sum(0), parts.hota.sum(0)


def tune(
    runs: Sequence[Run], folder: Path, metric: str = "hota", trials: int = 60, seed: int = 0,
    done: Callable[[], None] = lambda: None,
) -> Tuned:  # fmt: skip
    """Choose settings.

    Args:
        runs: of one network with one tracker, with ground truth and cached detections.
        folder: where the trials are kept.
        metric: to maximise.
        trials: of each study, of which there is one more than bags.
        seed: of the optimiser.
        done: called after each trial.

    Raises:
        TuningError: the runs differ in their settings, there are too few bags, or the folder holds other trials.
    """
    settings = runs[0].settings
    if any((run.settings.tracker, run.settings.weights) != (settings.tracker, settings.weights) for run in runs):
        raise TuningError("the runs were made with different weights or settings of the tracker: tune one at a time")
    bags = bags_of(runs)
    columns = np.array(list(settings.classes), np.int64)
    digest = _digest(bags, settings.tracker, metric)
    folds = []
    for left_out in bags:
        rest = [bag for bag in bags if bag is not left_out]
        study = _study(folder, f"without {left_out.name}", digest, seed)
        values = _chosen(_optimised(study, rest, settings.tracker, columns, metric, trials, done), settings.tracker)
        before, after = (
            score([left_out], config, columns, metric)
            for config in (settings.tracker, retuned(settings.tracker, values))
        )
        folds.append(Fold(left_out.name, before, after))
    study = _optimised(_study(folder, ALL_BAGS, digest, seed), bags, settings.tracker, columns, metric, trials, done)
    history = [trial.value for trial in study.trials if trial.value is not None]
    return Tuned(
        metric, folds, history[0], max(history), _chosen(study, settings.tracker), _importance(study), history
    )  # fmt: skip


def _digest(bags: Sequence[Bag], config: TrackerConfig, metric: str) -> str:
    """Tells one question from another: the same detections, start and metric have the same digest."""
    told = [[bag.name, *(str((one.folder / DETECTIONS).stat().st_size) for one in bag.sequences)] for bag in bags]
    return hashlib.sha256(json.dumps([told, to_mapping(config), metric]).encode()).hexdigest()


def _study(folder: Path, name: str, digest: str, seed: int) -> Study:
    """The study of this name, with its trials so far."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError:
        raise TuningError("tuning needs Optuna: pip install 'qdtrack[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / TRIALS)))
    # Trials of an earlier start differ by the seed: the same one would propose the same settings again.
    known = [one for one in optuna.get_all_study_summaries(storage) if one.study_name == name]
    sampler = optuna.samplers.TPESampler(seed=seed + (known[0].n_trials if known else 0))
    study = optuna.create_study(
        storage=storage, sampler=sampler, study_name=name, direction="maximize", load_if_exists=True
    )
    if study.user_attrs.get("digest", digest) != digest:
        raise TuningError(f"{folder / TRIALS}: holds trials on other runs or another metric; choose another --output")
    study.set_user_attr("digest", digest)
    return study


def _optimised(
    study: Study, bags: Sequence[Bag], start: TrackerConfig, columns: Array, metric: str, trials: int,
    done: Callable[[], None],
) -> Study:  # fmt: skip
    """The study with as many trials; the first is of the settings as they are."""
    from optuna.trial import Trial, TrialState

    space = _space(start)
    if not study.trials:
        study.enqueue_trial({name: float(getattr(start, name)) for name in space})

    def objective(trial: Trial) -> float:
        values = {name: trial.suggest_float(name, *limits) for name, limits in space.items()}
        return score(bags, retuned(start, values), columns, metric)

    finished = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    study.optimize(objective, n_trials=max(0, trials - finished), callbacks=[lambda *_: done()])
    return study


def _space(start: TrackerConfig) -> dict[str, tuple[float, float]]:
    """The settings to choose and their limits, which hold the settings as they are."""
    span = start.memory_span
    space = {**SPACES[start.kind], "memory_span": (_MEMORY[0] * span, _MEMORY[1] * span)}
    return {
        name: (min(low, float(getattr(start, name))), max(high, float(getattr(start, name))))
        for name, (low, high) in space.items()
    }


def _chosen(study: Study, start: TrackerConfig) -> dict[str, float]:
    """The settings of the best trial that are not as they were, to four digits."""
    best = {name: float(f"{value:.4g}") for name, value in study.best_params.items()}
    return {name: value for name, value in best.items() if value != float(f"{float(getattr(start, name)):.4g}")}


def _importance(study: Study) -> dict[str, float]:
    """How much each setting matters to the score (PED-ANOVA, which needs no other package)."""
    import warnings

    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    if len({trial.value for trial in study.trials}) < 10:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls itself experimental
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def parameter_file(tuned: Tuned, weights: str) -> str:
    """The text of a parameter file for the node."""
    lines = [
        f"# Settings that `qdtrack tune` chose. {tuned.verdict()}.",
        "/**:", "  ros__parameters:", f"    weights: {json.dumps(weights)}", "    tracker:",
        *(f"      {name}: {value!r}" for name, value in sorted(tuned.values.items())),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
