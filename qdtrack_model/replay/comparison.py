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
from typing import Any

import numpy as np

from qdtrack_model.evaluation.by_frame import ByFrame, scores_of
from qdtrack_model.replay.measures import ALL, FLICKER, scored_classes, spells
from qdtrack_model.replay.run import Run
from qdtrack_model.replay.sequence import ReplayedSequence, RunError
from qdtrack_model.structures import Array

RESAMPLES = 1000
LEVEL = 95  # per cent
PERCENT = ("mota", "idf1", "hota", "deta", "assa", "loca")
FEWER_IS_BETTER = ("false_positives", "false_negatives", "id_switches", "fragments per minute", "flickers per minute")
_RATES = ("boxes per minute", "new tracks per minute", "fragments per minute", "flickers per minute")


@dataclass(frozen=True, eq=False)
class Difference:
    """One figure of two runs.

    Args:
        baseline: of the first run.
        value: of the second.
        low: lower end of the interval of the difference; NaN where there are fewer than two segments.
        high: upper end.
    """

    name: str
    baseline: float
    value: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Second run less first."""
        return self.value - self.baseline

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``differs`` where neither is, or ``not sure`` where the interval holds 0."""
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
class Comparison:
    """What differs between two runs.

    Args:
        pairs: the sequences of both.
        only: names of sequences that one run alone has.
        segments: how many segments of time there are.
        differences: of all sequences together.
    """

    pairs: list[Pair]
    only: list[str]
    segments: int
    differences: list[Difference]

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON; scores in per cent."""
        return {
            "segments": self.segments, "level": LEVEL, "only_in_one": self.only,
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


def compare(first: Run, second: Run, segment: float = 10.0, seed: int = 0) -> Comparison:
    """Compare the sequences that two runs share, in segments of so many seconds.

    Raises:
        RunError: they share none, or one has ground truth and the other none, or another one.
    """
    theirs = dict(zip(second.names, second.sequences(), strict=True))
    pairs = [
        _pair(first, name, ours, theirs[name][1])
        for name, (_, ours) in zip(first.names, first.sequences(), strict=True)
        if name in theirs
    ]
    if not pairs:
        raise RunError(
            f"{first.folder} and {second.folder} share no sequence: {', '.join(first.names) or 'none'}; "
            f"{', '.join(second.names) or 'none'}"
        )
    if len({pair.scored is None for pair in pairs}) > 1:
        pairs = [pair for pair in pairs if pair.scored is not None]
    only = sorted(set(first.names) ^ set(second.names))
    scored = pairs[0].scored is not None
    sums = [np.concatenate(parts) for parts in zip(*(_sums(pair, segment) for pair in pairs), strict=True)]
    count = len(sums[0])
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    wholes = [_figures(part.sum(0), scored) for part in sums]
    drawn = (
        [[_figures(np.tensordot(time, part, 1), scored) for time in times] for part in sums] if count > 1 else [[], []]
    )
    differences = []
    for name in wholes[0]:
        spread = np.array([after[name] - before[name] for before, after in zip(*drawn, strict=True)])
        spread = spread[np.isfinite(spread)]
        edge = (100 - LEVEL) / 2
        low, high = np.percentile(spread, [edge, 100 - edge]) if len(spread) else (np.nan, np.nan)
        differences.append(Difference(name, wholes[0][name], wholes[1][name], float(low), float(high)))
    return Comparison(pairs, only, count, differences)


def _pair(run: Run, name: str, first: ReplayedSequence, second: ReplayedSequence) -> Pair:
    """A sequence with the scores of both runs."""
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
