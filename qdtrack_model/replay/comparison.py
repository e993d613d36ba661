"""Two runs of the same bags: what differs, and how sure that is.

The differences are those of whole runs. Their intervals are of a paired bootstrap over segments of time (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993): frames beside each other fail together, so that single frames
would make everything look sure. Identities are decided over whole sequences, see ``by_frame.py``, and a segment brings
its part of the sums.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from qdtrack_model.evaluation.by_frame import ByFrame, scores_of
from qdtrack_model.fleet.workers import LostWorker, Workers, team
from qdtrack_model.replay.measures import ALL, FLICKER, scored_classes, spells
from qdtrack_model.replay.run import Run
from qdtrack_model.replay.sequence import ReplayedSequence, RunError
from qdtrack_model.structures import Array

RESAMPLES = 1000
LEVEL = 95  # per cent
FEWEST = 6  # segments: fewer all go one way by chance more often than once in twenty times
PERCENT = ("mota", "idf1", "hota", "deta", "assa", "loca")
MISTAKES = ("false_positives", "id_switches", "fragments per minute", "flickers per minute")
FEWER_IS_BETTER = (*MISTAKES, "false_negatives")
ONE = Workers()
_RATES = ("boxes per minute", "new tracks per minute", "fragments per minute", "flickers per minute")


@dataclass(frozen=True, eq=False)
class Difference:
    """One figure of two runs.

    Args:
        baseline: of the first run.
        value: of the second.
        low: lower end of the interval of the difference; NaN where there are fewer than FEWEST segments.
        high: upper end.
        fair: False for what is counted where the runs tracked other images: who tracks fewer makes fewer mistakes.
    """

    name: str
    baseline: float
    value: float
    low: float
    high: float
    fair: bool = True

    @property
    def difference(self) -> float:
        """Second run less first."""
        return self.value - self.baseline

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``differs`` where neither is, ``not sure`` where the interval holds 0, or ``other
        images``."""
        if not self.fair:
            return "other images"
        if not (self.low > 0 or self.high < 0):
            return "not sure"
        if self.name in PERCENT:
            return "better" if self.difference > 0 else "worse"
        if self.name in FEWER_IS_BETTER:
            return "better" if self.difference < 0 else "worse"
        return "differs"


@dataclass(frozen=True, eq=False)
class Pair:
    """A sequence of both runs, with the parts of their scores where there is ground truth."""

    name: str
    first: ReplayedSequence
    second: ReplayedSequence
    scored: tuple[ByFrame, ByFrame] | None


@dataclass(frozen=True, eq=False)
class Compared:
    """What a sequence adds to a comparison.

    Args:
        name: of the sequence.
        scored: whether there is ground truth.
        sums: of the first and of the second run, (S, K) each, a row a segment.
        images: tracked in the first run, in the second, and in both.
    """

    name: str
    scored: bool
    sums: tuple[Array, Array]
    images: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What differs between two runs.

    Args:
        sequences: of both.
        only: names of sequences that one run alone has.
        segments: how many segments of time there are.
        differences: of all sequences together.
    """

    sequences: list[Compared]
    only: list[str]
    segments: int
    differences: list[Difference]

    @property
    def images(self) -> tuple[int, int, int]:
        """Tracked in the first run, in the second, and in both."""
        first, second, both = np.sum([one.images for one in self.sequences], axis=0).tolist()
        return first, second, both

    @property
    def same_images(self) -> bool:
        """Whether both runs tracked the same images."""
        return len(set(self.images)) == 1

    def told(self) -> str:
        """What was compared, in a sentence."""
        first, second, both = self.images
        of = f"{len(self.sequences)} sequences" if len(self.sequences) > 1 else self.sequences[0].name
        if self.same_images:
            return f"{both} images of {of}, the same in both runs"
        return (
            f"{of}: the baseline tracked {first} images, the run {second}, {both} of them in both: counts of mistakes "
            "cannot be compared, scores hold what was not tracked against the run"
        )

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON; scores in per cent."""
        first, second, both = self.images
        return {
            "segments": self.segments, "level": LEVEL, "only_in_one": self.only,
            "images": {"baseline": first, "run": second, "both": both},
            "differences": {
                each.name: {
                    "baseline": _number(each.baseline), "value": _number(each.value),
                    "difference": _number(each.difference), "interval": [_number(each.low), _number(each.high)],
                    "verdict": each.verdict,
                } for each in self.differences
            },
        }  # fmt: skip


def _number(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


def compare(first: Run, second: Run, segment: float = 10.0, seed: int = 0, workers: Workers = ONE) -> Comparison:
    """Compare the sequences that two runs share, in segments of so many seconds.

    Raises:
        RunError: they share none, or one has ground truth and the other none, or another one.
    """
    names = [name for name in first.names if name in set(second.names)]
    if not names:
        raise RunError(
            f"{first.place} and {second.place} share no sequence: {', '.join(first.names) or 'none'}; "
            f"{', '.join(second.names) or 'none'}"
        )
    with team(partial(PairWorker, first, second, segment), workers) as apply:
        found = dict(apply(names))
    parts: list[Compared] = []
    for place, name in enumerate(names):
        one = found[place]
        if isinstance(one, LostWorker):
            raise RunError(f"{name}: {one}")
        parts.append(one)
    scored = any(part.scored for part in parts)
    parts = [part for part in parts if part.scored is scored]
    sums = [np.concatenate([part.sums[side] for part in parts]) for side in (0, 1)]
    return Comparison(
        parts, sorted(set(first.names) ^ set(second.names)), len(sums[0]),
        differences(sums[0], sums[1], scored, all(len(set(part.images)) == 1 for part in parts), seed),
    )  # fmt: skip


def differences(first: Array, second: Array, scored: bool, same_images: bool, seed: int = 0) -> list[Difference]:
    """The figures that follow from what each segment adds, (S, K) for either run, with their intervals."""
    count = len(first)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    before, after = (_figures(part.sum(0), scored) for part in (first, second))
    drawn = [[_figures(drawn, scored) for drawn in times @ part] for part in (first, second)]
    found = []
    for name in before:
        spread = np.array([two[name] - one[name] for one, two in zip(*drawn, strict=True)])
        spread = spread[np.isfinite(spread) & (count >= FEWEST)]
        edge = (100 - LEVEL) / 2
        low, high = np.percentile(spread, [edge, 100 - edge]) if len(spread) else (np.nan, np.nan)
        fair = same_images or name not in MISTAKES
        found.append(Difference(name, before[name], after[name], float(low), float(high), fair))
    return found


class PairWorker:
    """Scores sequences of two runs, one after the other.

    Args:
        first: run.
        second: run.
        segment: seconds.
    """

    def __init__(self, first: Run, second: Run, segment: float) -> None:
        self._first, self._second, self._segment = first, second, segment

    def __call__(self, name: str) -> Compared:
        """What the sequence adds.

        Raises:
            RunError: see :func:`compare`.
        """
        pair = pair_of(self._first, self._second, name)
        ours, theirs = (one.frames[one.tracked] for one in (pair.first, pair.second))
        images = (len(ours), len(theirs), len(np.intersect1d(ours, theirs)))
        return Compared(name, pair.scored is not None, _sums(pair, self._segment), images)


def pair_of(run: Run, other: Run, name: str) -> Pair:
    """A sequence with the scores of both runs.

    Raises:
        RunError: one has ground truth and the other none, or another one.
    """
    with run.sequence(name) as first, other.sequence(name) as second:
        pass
    found = [scored_classes(one, run.settings.classes).get(ALL) for one in (first, second)]
    if (found[0] is None) != (found[1] is None):
        raise RunError(f"{name}: one run has ground truth for it and the other has none")
    if found[0] is None or found[1] is None:
        return Pair(name, first, second, None)
    if found[0].whole.objects != found[1].whole.objects:
        ours, theirs = (parts.whole.objects for parts in (found[0], found[1]))
        raise RunError(
            f"{name}: {ours} objects are scored in one run, {theirs} in the other: replay both with the same"
        )
    return Pair(name, first, second, (found[0], found[1]))


def _sums(pair: Pair, segment: float) -> tuple[Array, Array]:
    """What the segments add to the figures of either run, (S, K) each."""
    length = max(float(one.seconds[-1]) if len(one.frames) else 0.0 for one in (pair.first, pair.second))
    count = max(1, round(length / segment))
    if pair.scored is not None:
        first, second = (
            _summed(
                np.concatenate([parts.counts, parts.hota.reshape(len(parts.hota), -1)], axis=1),
                one.seconds_of(parts.frames), length, count,
            )
            for one, parts in zip((pair.first, pair.second), pair.scored, strict=True)
        )  # fmt: skip
    else:
        first, second = (_summed(_of_tracks(one), one.seconds, length, count) for one in (pair.first, pair.second))
    return first, second


def _summed(rows: Array, seconds: Array, length: float, count: int) -> Array:
    """Rows (F, K) added up in each of ``count`` segments."""
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, np.minimum((seconds / max(length, 1e-9) * count).astype(int), count - 1), rows)
    return sums


def _of_tracks(sequence: ReplayedSequence) -> Array:
    """What each frame (F, 5) brings: minutes, boxes, new tracks, gaps that begin after it, flickers."""
    tracks, seconds = sequence.tracks, sequence.seconds
    rows = np.zeros((len(sequence.frames), 5))
    step = 1 / sequence.frame_rate if np.isfinite(sequence.frame_rate) else 0.0
    rows[:, 0] = step / 60
    np.add.at(rows[:, 1], np.searchsorted(sequence.frames, tracks.frames), 1)
    found = spells(tracks.frames, tracks.ids, sequence.frames)
    new = np.ones(len(found), bool)
    new[1:] = found[1:, 0] != found[:-1, 0]
    np.add.at(rows[:, 2], found[new, 1], 1)
    np.add.at(rows[:, 3], found[:-1][~new[1:], 2], 1)
    short = seconds[found[:, 2]] - seconds[found[:, 1]] + step < FLICKER - 1e-6
    np.add.at(rows[:, 4], found[short, 1], 1)
    return rows


def _figures(sums: Array, scored: bool) -> dict[str, float]:
    """The figures that follow from sums; scores in per cent."""
    if not scored:
        return dict(zip(_RATES, (sums[1:] / max(sums[0], 1e-9)).tolist(), strict=True))
    found = scores_of(sums[:7], sums[7:].reshape(-1, 5))
    return {name: 100 * found[name] for name in PERCENT} | {
        name: found[name] for name in ("id_switches", "false_positives", "false_negatives")
    }


@dataclass(frozen=True)
class Limit:
    """A condition under which a comparison fails, such as ``idf1 < baseline - 0.5``; scores are in per cent."""

    text: str
    name: str
    sign: str
    relative: bool
    number: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read a condition.

        Raises:
            ValueError: it is none.
        """
        names = "|".join(
            (*PERCENT, "id_switches", "false_positives", "false_negatives", *(n.replace(" ", "_") for n in _RATES))
        )
        pattern = rf"({names})\s*(<|>)\s*(?:(baseline)\s*(?:([+-])\s*)?)?(\d+(?:\.\d+)?)?"
        found = re.fullmatch(pattern, text.strip())
        if not found or not (found[3] or found[5]) or bool(found[4]) != bool(found[3] and found[5]):
            raise ValueError(
                f"--fail-if {text!r}: expected NAME < baseline - NUMBER, NAME > baseline + NUMBER, or NAME < NUMBER; "
                f"names: {names.replace('|', ', ')}"
            )
        number = float(found[5] or 0) * (-1 if found[4] == "-" else 1)
        return cls(text, found[1], found[2], bool(found[3]), number)

    def fails(self, differences: Mapping[str, Difference]) -> bool:
        """Whether the second run is beyond the limit.

        Raises:
            ValueError: there is no such figure.
        """
        by_name = {name.replace(" ", "_"): each for name, each in differences.items()}
        if self.name not in by_name:
            raise ValueError(f"--fail-if {self.text!r}: these runs have no {self.name}: {', '.join(by_name)}")
        each = by_name[self.name]
        limit = self.number + (each.baseline if self.relative else 0.0)
        return each.value < limit if self.sign == "<" else each.value > limit
