"""Tiny scenes for the trackers' tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from qdtrack_model.structures import Detections

RED, BLUE = (4.0, 0.0), (0.0, 4.0)


def people(*rows: tuple) -> Detections:
    """Detections of (x, y, embedding[, score[, label]]): boxes 40 wide and 100 high around x, y."""
    full = [(*row, *(0.9, 0)[len(row) - 3 :]) for row in rows]
    boxes = [(x - 20, y - 50, x + 20, y + 50) for x, y, *_ in full]
    if not full:
        return Detections.empty()
    return Detections(boxes, [row[3] for row in full], [row[4] for row in full], [row[2] for row in full])


def ids_at(tracker, frames: Iterable[Detections], times: Iterable[float] | None = None) -> list[dict[float, int]]:
    """For each frame the id of the track at each x (of the box centre, rounded)."""
    found = []
    for now, frame in zip(times or range(10**9), frames, strict=False):
        tracks = tracker.update(frame, now)
        found.append({round(float(b[0] + b[2]) / 2): int(i) for b, i in zip(tracks.boxes, tracks.ids, strict=True)})
    return found


def crowd(seed: int, frames: int, count: int, size: int = 16) -> list[Detections]:
    """Random people walking, a third of them hidden in each frame; classes 0 and 1."""
    generator = np.random.default_rng(seed)
    appearances = 1.5 * generator.standard_normal((count, size))
    centres, steps = generator.uniform(0, 1000, (count, 2)), generator.normal(0, 4, (count, 2))
    stream = []
    for _ in range(frames):
        centres = centres + steps
        seen = np.flatnonzero(generator.random(count) > 0.33)
        boxes = np.concatenate([centres[seen] - (15, 40), centres[seen] + (15, 40)], axis=1)
        noisy = appearances[seen] + 0.4 * generator.standard_normal((len(seen), size))
        stream.append(Detections(boxes, generator.uniform(0.2, 1, len(seen)), seen % 2, noisy))
    return stream


def sequence_of_ids(tracker, stream: Sequence[Detections], times: Iterable[float]) -> list[list[int]]:
    """The ids observed in each frame."""
    return [tracker.update(frame, now).ids.tolist() for frame, now in zip(stream, times, strict=True)]
