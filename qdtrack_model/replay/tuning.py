"""Settings of the tracker chosen by Optuna on cached detections, and how much better they are on bags not chosen on.

Cross-validation leaves out one bag at a time, of many bags a tenth: a study chooses settings on all others, and what
was left out says what they are worth. A last study chooses on all bags; its settings are what is recommended. Studies
are kept in a file after every trial and go on where they stopped.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdtrack_model import tracking
from qdtrack_model.config import TrackerConfig, to_mapping
from qdtrack_model.data.readers.mot import from_tracks, join
from qdtrack_model.evaluation.by_frame import by_frame, scores_of
from qdtrack_model.fleet.places import below, local_copy
from qdtrack_model.fleet.workers import Apply, LostWorker, Workers, team
from qdtrack_model.replay.detections import read_detections
from qdtrack_model.replay.run import Run
from qdtrack_model.replay.sequence import DETECTIONS, OVERLAY, ReplayedSequence
from qdtrack_model.structures import Array
from qdtrack_model.tracker_config import retuned

if TYPE_CHECKING:
    from optuna.study import Study

TRIALS = "trials.log"
ALL_BAGS = "all bags"
FOLDS = 10  # at most: a study for each of hundreds of bags would never end
ONE = Workers()
METRICS = ("hota", "idf1", "mota", "assa")
_QUASI_DENSE = {
    "init_score": (0.2, 0.95), "object_score": (0.1, 0.8), "match_score": (0.2, 0.8), "momentum": (0.05, 1.0),
    "backdrop_iou": (0.1, 0.7), "class_iou": (0.3, 0.9), "discard_score": (0.2, 0.8), "report_score": (0.0, 0.8),
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


@dataclass(frozen=True)
class Scored:
    """A sequence with ground truth and cached detections: the place of its run, its name there, and its bag."""

    run: Path | str
    name: str
    bag: str


@dataclass(frozen=True)
class Fold:
    """Bags that were left out: their score as it was, and with what was chosen on the others; per cent."""

    name: str
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
        folds: what was left out.
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
        told = f"{name} on bags left out: {self.gain:+.2f} (spread {self.spread:.2f} over {count} of them)"
        return f"{told}: better" if self.sure else f"{told}: no better than by chance, keep the settings as they are"

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "metric": self.metric, "gain": round(self.gain, 4), "spread": round(self.spread, 4), "sure": self.sure,
            "verdict": self.verdict(), "before": round(self.before, 4), "chosen_on_all": round(self.after, 4),
            "folds": [
                {"left_out": fold.name, "before": round(fold.before, 4), "after": round(fold.after, 4)}
                for fold in self.folds
            ],
            "values": dict(self.values), "importance": {k: round(v, 4) for k, v in self.importance.items()},
            "trials": len(self.history),
        }  # fmt: skip


def scored_sequences(runs: Sequence[Run]) -> list[Scored]:
    """The sequences of runs that can be tuned on.

    Raises:
        TuningError: they are of fewer than two bags.
    """
    found = [
        Scored(run.place, told["name"], told["bag"])
        for run in runs
        if run.settings.way != "live"
        for told in run.content["sequences"]
        if told["scores"]
    ]
    count = len({one.bag for one in found})
    if count < 2:
        raise TuningError(
            f"got {count} bags with ground truth and cached detections, expected two or more: what is chosen on "
            "one bag alone tells nothing of others"
        )
    return found


def folds_of(sequences: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Each bag by itself, or of more than FOLDS bags every so many together, by what they are called."""
    bags = list(dict.fromkeys(one.bag for one in sequences))
    if len(bags) <= FOLDS:
        return {bag: [one for one in sequences if one.bag == bag] for bag in bags}
    groups = [set(bags[first::FOLDS]) for first in range(FOLDS)]
    return {
        f"group {place} of {len(group)} bags": [one for one in sequences if one.bag in group]
        for place, group in enumerate(groups, start=1)
    }


@dataclass(frozen=True)
class Trial:
    """Settings to be tried on a sequence."""

    sequence: Scored
    config: TrackerConfig


class TrialWorker:
    """Tracks cached detections with other settings; what does not lie here is copied once.

    Args:
        columns: (C,) numbers of the classes.
    """

    def __init__(self, columns: Array) -> None:
        self._columns = columns
        self._copies, self._folders = ExitStack(), dict[Scored, Path]()

    def __call__(self, trial: Trial) -> tuple[Array, Array]:
        """What the sequence adds to ``ByFrame.counts`` (7,) and ``ByFrame.hota`` (19, 5).

        Raises:
            TuningError, CacheError, RunError: a file of the run is gone or broken.
        """
        one = trial.sequence
        if one not in self._folders:
            copy = local_copy(below(one.run, one.name), (OVERLAY, ".jpg", ".html"))
            self._folders[one] = self._copies.enter_context(copy)
        folder = self._folders[one]
        truth = ReplayedSequence.read(folder).truth
        if truth is None:
            raise TuningError(f"{one.run}: {one.name}: its ground truth is gone: replay the bag again")
        tracker = tracking.build(trial.config)
        found = join([
            from_tracks(tracker.update(frame.detections, frame.time), frame.number, self._columns)
            for frame in read_detections(folder / DETECTIONS)
        ])  # fmt: skip
        parts = by_frame(truth.boxes, truth.scored(found))
        return parts.counts.sum(0), parts.hota.sum(0)


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores settings.

    Args:
        apply: tries them, see :func:`qdtrack_model.fleet.workers.team`.
        metric: that is wanted.
    """

    apply: Apply[Trial, tuple[Array, Array]]
    metric: str

    def __call__(self, sequences: Sequence[Scored], config: TrackerConfig) -> float:
        """The score of sequences together, in per cent.

        Raises:
            TuningError: workers died.
        """
        found = dict(self.apply([Trial(one, config) for one in sequences]))
        sums = []
        for place in sorted(found):  # in the same order each time: sums of floats depend on it
            one = found[place]
            if isinstance(one, LostWorker):
                raise TuningError(f"{sequences[place].name}: {one}")
            sums.append(one)
        return 100 * scores_of(sum(one[0] for one in sums), sum(one[1] for one in sums))[self.metric]  # type: ignore[arg-type]


def tune(
    runs: Sequence[Run], folder: Path, metric: str = "hota", trials: int = 60, seed: int = 0,
    done: Callable[[], None] = lambda: None, workers: Workers = ONE,
) -> Tuned:  # fmt: skip
    """Choose settings.

    Args:
        runs: of one network with one tracker, with ground truth and cached detections.
        folder: where the trials are kept.
        metric: to maximise.
        trials: of each study, of which there is one more than folds.
        seed: of the optimiser.
        done: called after each trial.
        workers: that share the sequences of a trial.

    Raises:
        TuningError: the runs differ in their settings, there are too few bags, or the folder holds other trials.
    """
    settings = runs[0].settings
    start = settings.tracker
    if any((run.settings.tracker, run.settings.weights) != (start, settings.weights) for run in runs):
        raise TuningError("the runs were made with different weights or settings of the tracker: tune one at a time")
    sequences = scored_sequences(runs)
    make = partial(TrialWorker, np.array(list(settings.classes), np.int64))
    digest = _digest(runs, sequences, start, metric)
    with team(make, workers) as apply:
        judge, folds = Judge(apply, metric), []
        for name, left_out in folds_of(sequences).items():
            rest = [one for one in sequences if one not in left_out]
            study = _optimised(_study(folder, f"without {name}", digest, seed), rest, start, judge, trials, done)
            before, after = (judge(left_out, config) for config in (start, retuned(start, _chosen(study, start))))
            folds.append(Fold(name, before, after))
        study = _optimised(_study(folder, ALL_BAGS, digest, seed), sequences, start, judge, trials, done)
    history = [trial.value for trial in study.trials if trial.value is not None]
    return Tuned(metric, folds, history[0], max(history), _chosen(study, start), _importance(study), history)


def _digest(runs: Sequence[Run], sequences: Sequence[Scored], config: TrackerConfig, metric: str) -> str:
    """Tells one question from another: the same scored sequences, start and metric have the same digest."""
    scores = [told["scores"] for run in runs for told in run.content["sequences"]]
    told = [[one.bag, one.name] for one in sequences]
    return hashlib.sha256(json.dumps([told, scores, to_mapping(config), metric]).encode()).hexdigest()


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
    study: Study, sequences: Sequence[Scored], start: TrackerConfig, judge: Judge, trials: int, done: Callable[[], None]
) -> Study:
    """The study with as many trials; the first is of the settings as they are."""
    from optuna import trial as optuna_trial

    space = _space(start)
    # One that was interrupted may have begun, and was not scored.
    states = (optuna_trial.TrialState.COMPLETE, optuna_trial.TrialState.WAITING)
    if not study.get_trials(deepcopy=False, states=states):
        study.enqueue_trial({name: float(getattr(start, name)) for name in space})

    def objective(trial: optuna_trial.Trial) -> float:
        values = {name: trial.suggest_float(name, *limits) for name, limits in space.items()}
        return judge(sequences, retuned(start, values))

    finished = len(study.get_trials(deepcopy=False, states=(optuna_trial.TrialState.COMPLETE,)))
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
