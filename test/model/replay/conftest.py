"""Bags of moving squares, and a pipeline that sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.data.bags import BagFrame, write_bag
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.lockstep import replay_bag, settings_of
from qdtrack_model.replay.run import Run, RunWriter
from qdtrack_model.runtimes import Runtime
from qdtrack_model.structures import Array
from qdtrack_model.tracking import QuasiDenseTracker

FRAMES = 30


@pytest.fixture
def pipeline(blobs: Runtime) -> Pipeline:
    return Pipeline(blobs, QuasiDenseTracker(QuasiDenseConfig(memory_span=1.0, backdrop_span=0.1)))


@pytest.fixture
def squares_bag(tmp_path: Path, blob_image: Callable[..., tuple[Array, Array]]) -> Callable[..., Path]:
    """A function of (name, count of frames, frames without the second square, storage): a bag with ground truth."""

    def make(name: str = "squares", frames: int = FRAMES, hidden: range = range(0), storage: str = "mcap") -> Path:
        def pictures() -> Iterator[BagFrame]:
            for index in range(1, frames + 1):
                image, boxes = blob_image(index)
                ones = np.ones(3)
                if index in hidden:
                    x1, y1, x2, y2 = boxes[1].astype(int)
                    image[y1:y2, x1:x2] = 40
                yield BagFrame(image, MotBoxes(ones * index, np.arange(1, 4), boxes, ones, ones, ones))

        write_bag(tmp_path / name, pictures(), 10.0, storage=storage)
        return tmp_path / name

    return make


@pytest.fixture
def replayed(pipeline: Pipeline, tmp_path: Path) -> Callable[..., Run]:
    """A function of (bag, name of the run, where the ground truth is): the run."""

    def make(bag: Path, name: str = "run", truth: str = "auto") -> Run:
        run = RunWriter(tmp_path / name, settings_of(pipeline, "blobs"))
        replay_bag(Listed(str(bag), bag.name), None, truth, pipeline, run, lambda sequence: None)
        run.write()
        return Run.read(tmp_path / name)

    return make
