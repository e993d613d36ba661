"""What a training is fed: pairs of images, and each process's part of every batch of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
from torch.utils.data import DataLoader

from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.data.samples import SampleSet
from qdtrack_model.training.config import TrainConfig
from qdtrack_model.training.steps import Batch, Step


def frame_pairs(sets: Sequence[SampleSet], config: TrainConfig, count: int) -> FramePairs:
    """The first ``count`` pairs that a training is fed."""
    size, padding = config.model.input_size, config.model.padding
    return FramePairs(sets, config.pairs, config.seed, count, padding, size, config.classifies)


def shares(config: TrainConfig, steps: range, rank: int, processes: int) -> Iterator[list[int]]:
    """The numbers of the pairs of one process, part after part of a batch.

    A step has the same pairs however many processes and parts there are.
    """
    size = config.batch // (config.accumulate * processes)
    for step in steps:
        for part in range(config.accumulate):
            start = step * config.batch + (part * processes + rank) * size
            yield list(range(start, start + size))


def load_batches(
    config: TrainConfig,
    parts: Step,
    steps: range,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
) -> Iterator[Batch]:
    """What one process is fed in these steps.

    Args:
        config: the recipe.
        parts: of the architecture, and what is drawn from.
        steps: those that are left to do.
        rank: of the process, from 0.
        processes: that train together.
        workers: processes that prepare batches ahead; 0: this one prepares each when it is asked for.
    """
    if workers:
        # Before they are forked: a worker has none of the threads that OpenCV believes it has, and would wait for them.
        # One thread each is also all that many workers have room for.
        cv2.setNumThreads(1)
    loader = DataLoader(
        parts.dataset(frame_pairs(parts.sets, config, steps.stop * config.batch)),
        batch_sampler=shares(config, steps, rank, processes),
        collate_fn=parts.collate,
        num_workers=workers,
    )
    return iter(loader)
