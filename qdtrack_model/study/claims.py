"""The published conclusions on one-shot embeddings, and whether results show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdtrack_model.study.ways import START, Way, ways_of

Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # way -> the results of each seed
NOT_YET = "not run yet"
SLACK = 2.0  # points of IDF1 that CL-MOT may be below the baseline


def cell(values: Sequence[float], digits: int = 1) -> str:
    """Mean, and lowest and highest where there are several; a dash without any."""
    if not values:
        return "-"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def idf1(run: Mapping[str, Any]) -> float:
    """Of FairMOT's tracker, in per cent."""
    return 100 * float(run["tracking"]["fairmot"]["idf1"])


def gain(run: Mapping[str, Any]) -> float:
    """By how many points IDF1 is higher than that of the same tracker without embeddings on the same boxes."""
    return idf1(run) - 100 * float(run["tracking"]["control"]["idf1"])


def largest(run: Mapping[str, Any]) -> float | None:
    """TPR at FAR .1 of the ten largest people, in per cent; None where they are too few."""
    value = run["tpr"]["largest"]
    return None if value is None else 100 * float(value)


def everybody(run: Mapping[str, Any]) -> float:
    """TPR at FAR .1 of all people, in per cent."""
    return 100 * float(run["tpr"]["all"])


def _values(runs: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float | None]) -> list[float]:
    return [found for found in map(value, runs) if found is not None]


@dataclass(frozen=True)
class Claim:
    """A published conclusion: a number of one way is larger than that of another.

    Args:
        text: the conclusion.
        first: name of the way that should have more.
        second: name of the other.
        value: of a run.
        slack: by how much the first may be less.
    """

    text: str
    first: str
    second: str
    value: Callable[[Mapping[str, Any]], float | None] = idf1
    slack: float = 0.0

    def verdict(self, results: Runs) -> str:
        """Whether it holds, with the numbers that show it."""
        ours, theirs = (_values(results.get(name, []), self.value) for name in (self.first, self.second))
        if not ours or not theirs:
            return NOT_YET
        shown = f"{cell(ours)} against {cell(theirs)}"
        ahead = float(np.mean(ours)) - float(np.mean(theirs)) + self.slack
        apart = min(ours) + self.slack > max(theirs) or max(ours) + self.slack < min(theirs)
        if len(ours) < 2 or len(theirs) < 2:
            return f"{'more' if ahead > 0 else 'not more'} in the one run: {shown}"
        if not apart:
            return f"undecided, the seeds overlap: {shown}"
        return f"{'yes' if ahead > 0 else 'no'}: {shown}"


CLAIMS = (
    Claim("Freezing all but the identity head beats freezing the backbone: classification", "class_frdet", "class_fr"),
    Claim("... Euclidean", "euclidean_frdet", "euclidean_fr"),
    Claim("... cosine", "cosine_frdet", "cosine_fr"),
    Claim("Behind a frozen backbone cosine beats Euclidean", "cosine_fr", "euclidean_fr"),
    Claim("Behind a frozen detector classification beats Euclidean", "class_frdet", "euclidean_frdet"),
    Claim("... and cosine", "class_frdet", "cosine_frdet"),
    Claim("class. fr.det. beats the baseline", "class_frdet", "baseline"),
    Claim("... and tells people apart better (TPR@.1, ten largest)", "class_frdet", "baseline", largest),
    Claim("CL-MOT, without identities, is at most 2 points below the baseline", "clmot", "baseline", slack=SLACK),
    Claim("CL-MOT's contrastive loss beats triplets, all", "clmot", "triplet_all"),
    Claim("... and hard", "clmot", "triplet_hard"),
    Claim("... and a class for each box", "clmot", "each_box"),
    Claim("QDTrack's loss beats the baseline on the same network", "quasi_dense", "baseline"),
)  # fmt: skip


def verdicts(kind: str, results: Runs) -> dict[str, str]:
    """Each published conclusion that ways on data of a kind can show -> whether they do."""
    names = {way.name for way in ways_of(kind)}
    found = {claim.text: claim.verdict(results) for claim in CLAIMS if {claim.first, claim.second} <= names}
    found["Embeddings help: IDF1 above that without them, in every seed"] = _helpful(results, ways_of(kind))
    found["... also those that nothing was trained for"] = _untrained(results)
    found["Training is better than the start: IDF1"] = _beyond(results, ways_of(kind), idf1)
    found["... and TPR@.1 of all people"] = _beyond(results, ways_of(kind), everybody)
    found["The ten largest people order the ways as all people do (TPR@.1)"] = _orders(results, ways_of(kind))
    return found


def _helpful(results: Runs, ways: Sequence[Way]) -> str:
    """Of how many ways embeddings are better than none, and by how much the best and the worst of them."""
    gains = {way.title: [gain(run) for run in results[way.name]] for way in ways if results.get(way.name)}
    if not gains:
        return NOT_YET
    order = sorted(gains, key=lambda title: float(np.mean(gains[title])))
    helped = sum(min(values) > 0 for values in gains.values())
    ends = "; ".join(f"{title} {np.mean(gains[title]):+.1f}" for title in (order[-1], order[0]))
    return f"with {helped} of {len(gains)} ways: {ends}"


def _untrained(results: Runs) -> str:
    gains = [gain(run) for run in results.get(START.name, [])]
    return f"{'yes' if gains[0] > 0 else 'no'}: {gains[0]:+.1f}" if gains else NOT_YET


def _beyond(results: Runs, ways: Sequence[Way], value: Callable[[Mapping[str, Any]], float]) -> str:
    """With how many ways, and which are the best and the worst."""
    begun = [value(run) for run in results.get(START.name, [])]
    reached = {
        way.title: float(np.mean([value(run) for run in results[way.name]])) for way in ways if results.get(way.name)
    }
    if not begun or not reached:
        return NOT_YET
    order = sorted(reached, key=lambda title: reached[title])
    better = sum(value > begun[0] for value in reached.values())
    ends = "; ".join(f"{title} {reached[title]:.1f}" for title in (order[-1], order[0]))
    return f"with {better} of {len(reached)} ways: {ends}; the start {begun[0]:.1f}"


def _orders(results: Runs, ways: Sequence[Way]) -> str:
    """Of the pairs of ways whose seeds are apart by both choices of people, how many these order differently."""
    names = [way.name for way in ways if results.get(way.name)]
    found = {name: [_values(results[name], value) for value in (largest, everybody)] for name in names}
    pairs = [(a, b) for place, a in enumerate(names) for b in names[:place] if all((*found[a], *found[b]))]
    if not pairs:
        return NOT_YET
    orders = [[_order(ours, theirs) for ours, theirs in zip(found[a], found[b], strict=True)] for a, b in pairs]
    apart = [pair for pair in orders if all(pair)]
    swapped = sum(first != second for first, second in apart)
    if not apart:
        return f"undecided, the seeds of all {len(pairs)} pairs of ways overlap"
    return (
        f"{'no' if swapped else 'yes'}: {swapped} of the {len(apart)} pairs of ways (of {len(pairs)}) whose seeds are "
        "apart change places"
    )


def _order(ours: Sequence[float], theirs: Sequence[float]) -> int:
    """1: all of ours are larger; -1: all of theirs are; 0: they overlap."""
    return int(min(ours) > max(theirs)) - int(min(theirs) > max(ours))
