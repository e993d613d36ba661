"""What a worker of ``qdtrack replay`` does with each bag: replay, score, pictures and a page, put where the run is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from qdtrack_model.data.bags import BagError
from qdtrack_model.data.readers.mot import MotError
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.fleet.places import PlaceError, local_copy, written
from qdtrack_model.fleet.unfinished import stamp_of
from qdtrack_model.fleet.workers import LostWorker
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.lockstep import Progress, replay_bag, settings_of
from qdtrack_model.replay.pages.page import ReportError
from qdtrack_model.replay.pages.report import write_report
from qdtrack_model.replay.pictures import write_pictures
from qdtrack_model.replay.run import REPORT, Collected, Run
from qdtrack_model.replay.truth import TruthError


@dataclass(frozen=True)
class Replayed:
    """A bag that was replayed, or left out.

    Args:
        part: of the run.
        seconds: that it took.
        processor_seconds: the same of all cores together.
        stamp: of the bag before it was read.
    """

    part: Collected
    seconds: float
    processor_seconds: float
    stamp: Sequence[Any]


class BagWorker:
    """Replays one bag after the other with one pipeline.

    Args:
        pipeline: of the worker.
        weights: as they were named.
        output: folder or URL of the run.
        topics: of images; None for all.
        truth: where the ground truth is.
        pictures: whether to write videos and crops.
        page: whether each bag has a report of its own.
        progress: called after each image.
    """

    def __init__(
        self, pipeline: Pipeline, weights: str, output: str, topics: list[str] | None = None, truth: str = "auto",
        pictures: bool = True, page: bool = False, progress: Progress = lambda name: None,
    ) -> None:  # fmt: skip
        self._pipeline, self._settings, self._output = pipeline, settings_of(pipeline, weights), output
        self._topics, self._truth, self._pictures, self._page = topics, truth, pictures, page
        self._progress = progress

    def __call__(self, listed: Listed) -> Replayed:
        """Replay a bag; one that cannot be used is left out.

        Raises:
            OSError, PlaceError: the run cannot be written.
        """
        started, processor = perf_counter(), process_time()
        stamped = stamp_of(listed, self._page)
        with written(self._output) as folder:
            part = Collected(folder, self._settings)
            try:
                with local_copy(listed.place) as bag:
                    self._replay(bag, listed, part)
            except (BagError, TruthError, MotError, PlaceError) as error:
                part = Collected(folder, self._settings)
                part.leave_out(listed.place, str(error))
        return Replayed(part, perf_counter() - started, process_time() - processor, stamped)

    def _replay(self, bag: Path, listed: Listed, part: Collected) -> None:
        replay_bag(listed, self._topics, self._truth, self._pipeline, part, self._progress, bag)
        show(part, listed.name, bag if self._pictures else None, self._page, self._progress)


def show(part: Collected, name: str, bag: Path | None, page: bool, progress: Progress) -> None:
    """Write what is to be looked at of one bag.

    Args:
        part: of the run.
        name: of the bag in it.
        bag: to take pictures from; None for none.
        page: whether the bag has a report of its own.
        progress: called after each image.
    """
    run = Run(part.folder, part.content(), part.settings)
    if bag is not None:
        write_pictures(run, progress, bag)
    if page:
        with suppress(ReportError):  # told once, where the page of all bags is written
            write_report(run, part.folder / name / REPORT)


def part_of(run: Collected, listed: Listed, one: Replayed | LostWorker | Exception) -> Collected:
    """What a run holds of a bag."""
    if isinstance(one, Replayed):
        return one.part
    part = Collected(run.folder, run.settings)
    part.leave_out(listed.place, str(one))
    return part
