"""Time of one tracker update in a crowd, against a plain implementation with one Python object to each track.

    OMP_NUM_THREADS=1 python benchmarks/association.py

Streams of random people, `detections` a frame, who come and go so that about `memory` entries are remembered. Both
implementations must give the same ids; times are of the frames after the memory has filled. On a busy machine the
fastest tenth is nearer to what one core can do than the median.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from qdtrack_model.structures import Detections
from qdtrack_model.tracking import QuasiDenseConfig, QuasiDenseTracker


def iou(first: Any, second: Any) -> Any:
    """Overlap of one box with each of (M, 4)."""
    width = np.clip(np.minimum(first[2], second[:, 2]) - np.maximum(first[0], second[:, 0]), 0, None)
    height = np.clip(np.minimum(first[3], second[:, 3]) - np.maximum(first[1], second[:, 1]), 0, None)
    areas = (second[:, 2] - second[:, 0]) * (second[:, 3] - second[:, 1])
    return width * height / ((first[2] - first[0]) * (first[3] - first[1]) + areas - width * height)


class PlainTracker:
    """The published algorithm written down step by step: a dictionary of tracks, a loop over detections."""

    def __init__(self, config: QuasiDenseConfig) -> None:
        self.config = config
        self.tracks: dict[int, dict[str, Any]] = {}
        self.backdrops: list[tuple[Any, Any]] = []
        self.next_id = 0

    def update(self, detections: Detections, now: float) -> list[int]:
        config = self.config
        kept: list[int] = []
        order = np.argsort(-detections.scores, kind="stable")
        boxes = detections.boxes[order]
        for rank, row in enumerate(order):
            weak = detections.scores[row] < config.object_score
            limit = config.backdrop_iou if weak else config.class_iou
            if rank == 0 or not (iou(boxes[rank], boxes[:rank]) > limit).any():
                kept.append(int(row))
        boxes, scores = detections.boxes[kept], detections.scores[kept]
        labels, embeddings = detections.labels[kept], detections.embeddings[kept]
        ids = np.full(len(kept), -1)
        if self.tracks and kept:
            entry_ids = np.array([*self.tracks, *[-1] * len(self.backdrops)])
            entries = np.stack([t["embedding"] for t in self.tracks.values()] + [b[0] for b in self.backdrops])
            entry_labels = np.array([t["label"] for t in self.tracks.values()] + [b[1] for b in self.backdrops])
            logits = embeddings @ entries.T
            by_row = np.exp(logits - logits.max(1, keepdims=True))
            by_column = np.exp(logits - logits.max(0, keepdims=True))
            likeness = (by_row / by_row.sum(1, keepdims=True) + by_column / by_column.sum(0, keepdims=True)) / 2
            likeness[labels[:, None] != entry_labels[None]] = 0
            for row in range(len(kept)):
                column = likeness[row].argmax()
                value = likeness[row, column]
                if value > config.match_score and entry_ids[column] >= 0:
                    if scores[row] > config.object_score:
                        ids[row] = entry_ids[column]
                        likeness[:row, column] = 0
                        likeness[row + 1 :, column] = 0
                    elif value > config.discard_score:
                        ids[row] = -2
        for row in range(len(kept)):
            if ids[row] == -1 and scores[row] > config.init_score:
                ids[row] = self.next_id
                self.next_id += 1
        for row, track_id in enumerate(ids.tolist()):
            if track_id in self.tracks:
                old = self.tracks[track_id]
                mixed = (1 - config.momentum) * old["embedding"] + config.momentum * embeddings[row]
                self.tracks[track_id] = {"embedding": mixed, "label": labels[row], "box": boxes[row], "time": now}
            elif track_id >= 0:
                self.tracks[track_id] = {
                    "embedding": embeddings[row], "label": labels[row], "box": boxes[row], "time": now
                }  # fmt: skip
        self.backdrops = [
            (embeddings[row], labels[row])
            for row in np.flatnonzero(ids == -1)
            if row == 0 or not (iou(boxes[row], boxes[:row]) > config.backdrop_iou).any()
        ]
        self.tracks = {k: t for k, t in self.tracks.items() if now - t["time"] < config.memory_span}
        return [int(i) for i in ids if i >= 0]


def crowd(frames: int, detections: int, people: int, size: int, seed: int) -> list[Detections]:
    """Frames in which ``detections`` of ``people`` are seen, each with its own noisy embedding and a moving box."""
    generator = np.random.default_rng(seed)
    prototypes = generator.standard_normal((people, size))
    centres = generator.uniform(0, (1920, 1080), (people, 2))
    velocities = generator.normal(0, 3, (people, 2))
    labels = generator.integers(0, 2, people)
    stream = []
    for _ in range(frames):
        centres += velocities
        seen = generator.permutation(people)[:detections]
        half = np.array([12.0, 30.0])
        boxes = np.concatenate([centres[seen] - half, centres[seen] + half], axis=1)
        embeddings = prototypes[seen] + 0.3 * generator.standard_normal((detections, size))
        stream.append(Detections(boxes, generator.uniform(0.3, 1, detections), labels[seen], embeddings))
    return stream


def timed(update: Callable[[Detections, float], Any], stream: list[Detections], warm: int) -> tuple[list[Any], Any]:
    """The ids that ``update`` gives for each frame, and the milliseconds of each call after the first ``warm``."""
    ids, seconds = [], []
    for now, detections in enumerate(stream):
        start = time.perf_counter()
        result = update(detections, now)
        seconds.append(time.perf_counter() - start)
        # Nothing but the ids is kept: as in use, the next frame gets the memory of the last one.
        ids.append(result if isinstance(result, list) else result.ids.tolist())
    return ids, 1e3 * np.array(seconds[warm:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--memory", type=int, default=300)
    parser.add_argument("--embedding", type=int, default=256)
    parser.add_argument("--frames", type=int, default=200)
    arguments = parser.parse_args()
    stream = crowd(arguments.frames, arguments.detections, arguments.memory, arguments.embedding, seed=0)
    config = QuasiDenseConfig(memory_span=30)
    tracker, plain = QuasiDenseTracker(config), PlainTracker(config)
    warm = arguments.frames // 4
    tracks, fast = timed(tracker.update, stream, warm)
    expected, slow = timed(plain.update, stream, warm)
    assert tracks == expected, "the two implementations disagree"
    entries = len(plain.tracks) + len(plain.backdrops)
    moving = QuasiDenseTracker(QuasiDenseConfig(memory_span=30, motion="gate", recover_iou=0.3))
    _, with_motion = timed(moving.update, stream, warm)
    first, second = (np.ones((n, arguments.embedding), np.float32) for n in (entries, arguments.detections))
    _, product = timed(lambda *_: (first @ second.T)[:0].tolist(), stream, warm)
    print(f"{arguments.detections} detections x {entries} memory entries x {arguments.embedding} dimensions")
    for name, times in (
        ("qdtrack", fast),
        ("qdtrack with motion", with_motion),
        ("plain", slow),
        ("matrix product alone", product),
    ):
        print(f"{name:20s} median {np.median(times):.3f} ms a frame, fastest tenth {np.quantile(times, 0.1):.3f} ms")
    medians, tenths = (f"{np.quantile(slow, q) / np.quantile(fast, q):.1f}" for q in (0.5, 0.1))
    print(f"plain / qdtrack: {medians} by medians, {tenths} by fastest tenths")


if __name__ == "__main__":
    main()
