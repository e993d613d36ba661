"""``qdtrack auto-label``: labels of a recording by offline tracking, with its images, to correct and to train on."""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from qdtrack_model import checkpoints, tracking
from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands import LEFT_OUT
from qdtrack_model.commands.arguments import add_workers_arguments, chosen_workers, frame_range
from qdtrack_model.commands.network import add_pipeline_arguments, load_pipeline, pipeline_arguments
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, join
from qdtrack_model.data.sources import DEFAULT_FRAME_RATE, Frame, Source, SourceError, open_source
from qdtrack_model.data.writers.labels import FOLDERS, Form, Recorded, write_image, write_labels
from qdtrack_model.fleet.listing import Listed, listed
from qdtrack_model.fleet.places import below, is_remote, local_copy, written
from qdtrack_model.fleet.unfinished import Unfinished, forget, stamp_of
from qdtrack_model.fleet.workers import LostWorker, team
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.measures import ALL, scored_classes
from qdtrack_model.replay.moments import worst_moments
from qdtrack_model.replay.run import RUN, Run
from qdtrack_model.replay.sequence import ReplayedSequence
from qdtrack_model.structures import Array, Detections
from qdtrack_model.tracking.offline import Trajectory, track_offline

_AROUND = 2.0  # seconds labelled before the last right frame and after the first wrong one
_NUMBER = r"\d{6,}"  # of the first frame, at the end of a stretch's name
_SUSPICIOUS = ("ID switch", "back after a gap", "looks other")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack auto-label``."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="VIDEO|FOLDER|BAG|LIST|RUN",
        help="video files, folders of images, MOT sequences or bags, also as s3://...; CSV files with a column `bag`; "
        "with --around runs of `qdtrack replay`")  # fmt: skip
    add("--around", choices=("switches",), help="label of a run the seconds around its ID switches, a sequence each")
    add("--weights", default="street", metavar="NAME|PATH", help="`qdtrack weights` lists names; or a file [street]")
    add("--output", required=True, metavar="FOLDER",
        help="must not exist or be empty; a set to train on, of several inputs one for each")  # fmt: skip
    add("--format", default="mot", choices=tuple(FOLDERS), help="MOTChallenge sequence or CocoVID [mot]")
    add("--least-score", type=float, default=0.4, metavar="S",
        help="objects that score less in the mean are taken for mistakes [0.4]")  # fmt: skip
    add("--frames", type=frame_range, metavar="FIRST-LAST", help="label these frames alone; they keep their numbers")
    add("--topic", help="image topic, for bags with several")
    add_workers_arguments(parser)
    add_pipeline_arguments(parser)


@dataclass(frozen=True)
class Summary:
    """What was labelled: frames, objects, boxes, and those of them that are interpolated."""

    frames: int
    objects: int
    boxes: int
    interpolated: int


def run(
    source: Source,
    pipeline: Pipeline,
    output: Path,
    form: Form = "mot",
    frames: tuple[int, int] | None = None,
    least_score: float = 0.4,
) -> Summary:
    """Label a source; the folder appears whole or not at all.

    Raises:
        SourceError: no frame in ``frames`` (first, last), or the source cannot be read.
    """
    numbers: list[int] = []
    times: list[float] = []
    found: list[Detections] = []
    with atomic_write(output) as partial:
        total = frames[1] - frames[0] + 1 if frames else source.length
        for frame in tqdm(source, desc=source.name, total=total, unit="frame", disable=None):
            if frames and frame.index > frames[1]:
                break
            if frames and frame.index < frames[0]:
                continue
            write_image(partial, form, frame.index, frame.image)
            numbers.append(frame.index)
            times.append(frame.time)
            found += pipeline.detect([frame.image])
            size = (frame.image.shape[1], frame.image.shape[0])
        if not numbers:
            where = f"frames {frames[0]}-{frames[1]}" if frames else "the source"
            raise SourceError(f"{source.name}: no frame in {where}")
        objects = track_offline(found, times, lambda: tracking.build(pipeline.tracker.config).update, least_score)
        columns = class_columns(pipeline.runtime.config)
        boxes = join([_rows(number, each, numbers, columns) for number, each in enumerate(objects, start=1)])
        boxes = boxes[np.lexsort((boxes.ids, boxes.frames))]
        recorded = Recorded(source.name, source.frame_rate or _rate(times), size, numbers)
        write_labels(partial, form, recorded, boxes, pipeline.classes, columns)
    return Summary(len(numbers), len(objects), len(boxes), int((boxes.visibilities == 0).sum()))


class _Stretch(Source):
    """Frames of a source from one to another, taken from an iterator that goes on where the last stretch ended."""

    def __init__(self, name: str, source: Source, frames: Iterator[Frame], first: int, last: int) -> None:
        self.name, self.frame_rate, self.length = name, source.frame_rate, last - first + 1
        self._frames, self._first, self._last = frames, first, last

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            if frame.index >= self._first:
                yield frame
            if frame.index >= self._last:
                return


def around_switches(
    done: Run,
    name: str,
    pipeline: Pipeline,
    output: Path,
    form: Form = "mot",
    least_score: float = 0.5,
    prefix: str = "",
) -> list[Summary]:
    """Label a sequence's seconds around each ID switch; without ground truth around tracks that came back after a gap
    or looked other at once.

    Each stretch is a set of its own in ``output``, named by ``prefix``, its camera and its first frame. Those of an
    earlier time are removed.

    Raises:
        SourceError, PlaceError: the recording cannot be read.
    """
    begin = _begin(prefix, name)
    _clear(output, re.escape(begin) + _NUMBER)
    [told] = [told for told in done.content["sequences"] if told["name"] == name]
    with done.sequence(name) as sequence:
        stretches = _stretches(sequence, done.settings.classes)
    summaries: list[Summary] = []
    if not stretches:
        return summaries
    with local_copy(told["bag"]) as bag, open_source(bag, told["topic"]) as source:
        frames = iter(source)
        for first, last in stretches:
            stretch = _Stretch(f"{begin}{first:06d}", source, frames, first, last)
            summaries.append(run(stretch, pipeline, output / stretch.name, form, least_score=least_score))
    return summaries


@dataclass(frozen=True)
class _Task:
    """What is to be labelled: a recording, or a sequence of a run.

    Args:
        place: of the recording or of the run.
        name: of its set, or what those of a run begin with; empty for the only one.
        sequence: of the run.
    """

    place: str
    name: str
    sequence: str | None = None

    def listed(self) -> Listed:
        """What its result is kept under."""
        if self.sequence is None:
            return Listed(self.place, self.name)
        return Listed(below(self.place, RUN), self.name + self.sequence)


@dataclass(frozen=True)
class _Labelled:
    """What was labelled of one recording.

    Args:
        parts: of each set.
        made: their folders in the output.
        stamp: of the recording before it was read.
    """

    parts: list[Summary]
    made: list[str]
    stamp: Sequence[Any]


class _Labeller:
    """Labels one recording after the other with one pipeline.

    Args:
        args: of the command.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._pipeline = load_pipeline(args)
        self._pipeline.runtime.warm_up()

    def __call__(self, task: _Task) -> _Labelled | str:
        """What was labelled, or why the recording cannot be."""
        stamped = stamp_of(task.listed())
        with written(self._args.output) as folder:
            try:
                parts, made = self._labelled(task, folder)
                return _Labelled(parts, made, stamped)
            except ValueError as error:  # of bags, videos, folders, stores: each has its own kind
                return str(error)

    def _labelled(self, task: _Task, folder: Path) -> tuple[list[Summary], list[str]]:
        args = self._args
        if task.sequence is not None:
            parts = around_switches(
                Run.read(task.place), task.sequence, self._pipeline, folder, args.format, args.least_score, task.name
            )
            begin = _begin(task.name, task.sequence)
            return parts, sorted(one.name for one in _sets(folder, re.escape(begin) + _NUMBER))
        with local_copy(task.place) as place, open_source(place, args.topic) as source:
            where = folder / task.name
            if task.name:
                _clear(folder, re.escape(task.name))
            part = run(source, self._pipeline, where, args.format, args.frames, args.least_score)
            return [part], [task.name]


def _begin(prefix: str, sequence: str) -> str:
    """What the names of the sets of a sequence of a run begin with; each ends with the number of its first frame."""
    return f"{prefix}{sequence.replace('/', '_')}-"


def _sets(folder: Path, name: str) -> list[Path]:
    """The sets of a pattern of names."""
    return [one for one in folder.iterdir() if re.fullmatch(name, one.name)] if folder.is_dir() else []


def _clear(folder: Path, name: str) -> None:
    """Remove the sets of a worker that died before it could tell, also one that it had not finished."""
    for left in (*_sets(folder, name), *_sets(folder, rf"\.{name}-[a-z0-9_]{{8}}")):
        shutil.rmtree(left)


def _stretches(sequence: ReplayedSequence, classes: Mapping[int, str]) -> list[tuple[int, int]]:
    """First and last frame of what is to be labelled, in order; what overlaps is one."""
    margin = round(_AROUND * sequence.frame_rate) if math.isfinite(sequence.frame_rate) else 0
    moments = worst_moments(sequence, scored_classes(sequence, classes).get(ALL))
    found: list[tuple[int, int]] = []
    for begin, end in sorted((one.before.frame, one.frame) for one in moments if one.kind in _SUSPICIOUS):
        first, last = max(begin - margin, int(sequence.frames[0])), min(end + margin, int(sequence.frames[-1]))
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _rows(number: int, found: Trajectory, numbers: list[int], columns: Array) -> MotBoxes:
    """The boxes of an object in MOTChallenge's columns."""
    count = len(found.frames)
    return MotBoxes(
        np.array(numbers)[found.frames], np.full(count, number), found.boxes, np.ones(count),
        np.full(count, columns[found.label]), np.where(found.scores > 0, -1.0, 0.0),
    )  # fmt: skip


def _rate(times: list[float]) -> float:
    """Frames a second by the times of the frames."""
    return float(1 / np.median(np.diff(times))) if len(times) > 1 else DEFAULT_FRAME_RATE


def _unfinished(args: argparse.Namespace, tasks: Sequence[_Task]) -> Unfinished:
    """Labels that an interrupted command began here with the same settings, or new ones.

    Raises:
        ValueError: something else is there.
    """
    names = ("around", "format", "least_score", "frames", "topic", "runtime", "precision", "tracker")
    terms = {name: getattr(args, name) for name in names} | {"weights": checkpoints.load(args.weights).digest}
    unfinished, output = Unfinished(args.output, terms), Path(args.output)
    if unfinished.others:
        told = ", ".join(name.replace("_", "-") for name in unfinished.others)
        raise ValueError(
            f"--output {args.output}: holds labels of an interrupted command with other settings ({told}); with those "
            "it goes on; else choose another place, or remove it"
        )
    there = not is_remote(args.output) and output.exists() and (not output.is_dir() or bool(_sets(output, r"[^.].*")))
    if there and not (unfinished.interrupted and len(tasks) > 1):
        raise ValueError(f"--output {args.output}: is there already; choose another place or remove it")
    return unfinished


def _done(unfinished: Unfinished, tasks: Sequence[_Task]) -> tuple[list[Summary], list[_Task]]:
    """What was labelled before an interruption, and what is still to be labelled."""
    found: list[Summary] = []
    missing: list[_Task] = []
    for task in tasks:
        known = unfinished.known(task.listed())
        found += [Summary(**one) for one in known or ()]
        missing += [task] if known is None else []
    if len(missing) < len(tasks):
        done = len(tasks) - len(missing)
        print(f"goes on with labels that were interrupted: {done} of {len(tasks)} recordings are done", flush=True)
    return found, missing


def main(args: argparse.Namespace) -> int:
    """Label, then print what was found."""
    if args.around and (args.frames or args.topic):
        raise ValueError("--around chooses frames and topics of a run: leave out --frames and --topic")
    tasks, workers = _tasks(args), chosen_workers(args)
    given = {name: getattr(args, name) for name in ("output", "format", "frames", "least_score", "topic")}
    network = pipeline_arguments(args, args.threads if workers.here else workers.cores)
    unfinished, several = _unfinished(args, tasks), len(tasks) > 1
    parts, missing = _done(unfinished, tasks)
    left_out: list[str] = []
    with team(partial(_Labeller, argparse.Namespace(**vars(network), **given)), workers) as apply:
        for place, found in tqdm(
            apply(missing), total=len(missing), unit="recording", disable=None if several else True
        ):
            if isinstance(found, _Labelled):
                parts += found.parts
                if several:
                    result = [asdict(one) for one in found.parts]
                    unfinished.keep(missing[place].listed(), found.stamp, result, found.made)
            else:
                left_out.append(f"{missing[place].place}: {found}" if isinstance(found, LostWorker) else found)
    forget(args.output)
    if not parts:
        nothing = "no ID switch, and no track that came back after a gap or looked other at once"
        raise SourceError("; ".join(left_out) or f"{' '.join(args.inputs)}: {nothing}")
    for why in left_out:
        print(f"qdtrack: warning: left out: {why}", file=sys.stderr)
    frames, objects, boxes = (sum(getattr(one, name) for one in parts) for name in ("frames", "objects", "boxes"))
    what = f"{len(parts)} {'stretches' if args.around else 'recordings'}, " if args.around or len(parts) > 1 else ""
    interpolated = sum(one.interpolated for one in parts)
    print(f"{what}{frames} frames, {objects} objects, {boxes} boxes, {interpolated} of them interpolated")
    print(f"labels: {args.output.rstrip('/')}/; look at them before training, and correct them")
    return LEFT_OUT if left_out else 0


def _tasks(args: argparse.Namespace) -> list[_Task]:
    inputs = listed(args.inputs)
    named = [(one.place, one.name if len(inputs) > 1 else "") for one in inputs]
    if not args.around:
        return [_Task(place, name) for place, name in named]
    return [_Task(place, name and f"{name}_", one) for place, name in named for one in Run.read(place).names]
