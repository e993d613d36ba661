"""The worst moments of a sequence: where to look first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.evaluation.by_frame import ByFrame
from qdtrack_model.evaluation.frames import rows_by_frame
from qdtrack_model.replay.appearance import changes
from qdtrack_model.replay.measures import AWAY, spells
from qdtrack_model.replay.sequence import ReplayedSequence
from qdtrack_model.structures import Array

MOST = 100  # switches shown; a report of more is a report that nobody reads
LONGEST = 5  # misses, false positives
MOST_CHANGES = 20  # of appearance


@dataclass(frozen=True, eq=False)
class View:
    """What to show of a moment: a frame by its number, and a box (4,) in it."""

    frame: int
    box: Array


@dataclass(frozen=True, eq=False)
class Moment:
    """A moment.

    Args:
        kind: ``ID switch``, ``miss``, ``false positive``, ``back after a gap`` or ``looks other``.
        text: what happened, for people.
        frame: number of the frame it happened in.
        before: what to show first.
        after: what to show beside it.
    """

    kind: str
    text: str
    frame: int
    before: View
    after: View


def worst_moments(sequence: ReplayedSequence, scored: ByFrame | None) -> list[Moment]:
    """Every ID switch, the longest misses and false positives; without ground truth the longest gaps of tracks
    and where tracks look other than before.

    Raises:
        CacheError: the cached detections are broken.
    """
    if scored is None or sequence.truth is None:
        return [*_returns(sequence), *_changes(sequence)]
    truth, tracks = _Boxes(sequence.truth.boxes), _Boxes(sequence.tracks)
    runs = _runs(scored.events.misses[:, [1, 0]], sequence.truth.frames)
    moments = _switches(scored, truth)
    for thing, first, last in runs[:LONGEST]:
        duration = _seconds(sequence, first, last)
        text = f"object {thing} missed for {duration:.1f} s ({last - first + 1} frames)"
        moments.append(Moment("miss", text, first, truth(first, thing), truth(last, thing)))
    for track, first, last in _runs(scored.events.false_positives[:, [1, 0]], sequence.truth.frames)[:LONGEST]:
        duration = _seconds(sequence, first, last)
        text = f"track {track} on no object for {duration:.1f} s ({last - first + 1} frames)"
        moments.append(Moment("false positive", text, first, tracks(first, track), tracks(last, track)))
    return moments


class _Boxes:
    """Boxes by frame and id."""

    def __init__(self, boxes: MotBoxes) -> None:
        self._boxes, self._rows = boxes, rows_by_frame(boxes)

    def __call__(self, frame: int, identity: int) -> View:
        rows = self._rows[frame]
        [row] = rows[self._boxes.ids[rows] == identity][:1]
        return View(frame, self._boxes.boxes[row])


def _switches(scored: ByFrame, truth: _Boxes) -> list[Moment]:
    matches = scored.events.matches
    moments = []
    for frame, thing, old, new in scored.events.switches[:MOST].tolist():
        seen = matches[(matches[:, 1] == thing) & (matches[:, 0] < frame), 0].max()
        text = f"object {thing}: track {old} until frame {seen}, then track {new}"
        moments.append(Moment("ID switch", text, frame, truth(int(seen), thing), truth(frame, thing)))
    return moments


def _runs(rows: Array, known: Array) -> list[tuple[int, int, int]]:
    """Runs of (N, 2) id, frame without a break in the ``known`` frames: id, first and last frame, longest first."""
    found = spells(rows[:, 1], rows[:, 0], known)
    order = np.argsort(found[:, 1] - found[:, 2], kind="stable")
    return [(int(one), int(known[first]), int(known[last])) for one, first, last in found[order]]


def _returns(sequence: ReplayedSequence) -> list[Moment]:
    """Tracks that came back after the longest gaps."""
    tracks = sequence.tracks
    found = spells(tracks.frames, tracks.ids, sequence.frames)
    boxes, gaps = _Boxes(tracks), []
    for (one, _, gone), (same, back, _) in zip(found[:-1].tolist(), found[1:].tolist(), strict=True):
        away = float(sequence.times[back] - sequence.times[gone])
        if one == same and away > AWAY:
            gaps.append((away, one, int(sequence.frames[gone]), int(sequence.frames[back])))
    return [
        Moment(
            "back after a gap", f"track {one} seen again after {away:.1f} s", back, boxes(gone, one), boxes(back, one)
        )
        for away, one, gone, back in sorted(gaps, reverse=True)[:MOST]
    ]


def _changes(sequence: ReplayedSequence) -> list[Moment]:
    """Tracks that look other than in the image before."""
    boxes, moments = _Boxes(sequence.tracks), []
    for one in changes(sequence)[:MOST_CHANGES]:
        text = f"track {one.track} looks other than in frame {one.before} (similarity {one.similarity:.2f})"
        before, after = boxes(one.before, one.track), boxes(one.frame, one.track)
        moments.append(Moment("looks other", text, one.frame, before, after))
    return moments


def _seconds(sequence: ReplayedSequence, first: int, last: int) -> float:
    start, end = sequence.seconds_of(np.array([first, last]))
    return float(end - start + 1 / sequence.frame_rate)
