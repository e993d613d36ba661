"""Body of ``qdtrack track``: images in, a MOTChallenge file out, and a video to look at."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from tqdm import tqdm

from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands import INTERRUPTED
from qdtrack_model.commands.arguments import frame_range
from qdtrack_model.commands.network import add_pipeline_arguments, load_pipeline
from qdtrack_model.data.readers.mot import class_columns, format_rows, from_tracks
from qdtrack_model.data.sources import DEFAULT_FRAME_RATE, Frame, Source, SourceError, open_source
from qdtrack_model.pipeline import Pipeline, TimeUnit
from qdtrack_model.structures import Array, Tracks

if TYPE_CHECKING:
    from qdtrack_model.given_detections import GivenDetections


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack track``."""
    add = parser.add_argument
    add("input", type=Path, metavar="VIDEO|FOLDER|BAG", help="video file, folder of images, MOT sequence or ROS 2 bag")
    add("--weights", default="street", metavar="NAME|PATH", help="`qdtrack weights` lists names; or a file [street]")
    add("--output", type=Path, default=Path("tracks.txt"), metavar="FILE", help="MOTChallenge columns [tracks.txt]")
    add("--overlay", type=Path, metavar="FILE.mp4", help="also write a video with the tracks drawn")
    add_pipeline_arguments(parser)
    add(
        "--time",
        default="seconds",
        choices=("seconds", "frames"),
        help="what the tracker counts; frames for benchmarks, whose memory is so many frames at any rate [seconds]",
    )
    add(
        "--ego-motion",
        default="none",
        choices=("none", "image"),
        help="for a camera that turns or shakes: find its motion by the images, and follow objects beside it [none]",
    )
    add("--frames", type=frame_range, metavar="FIRST-LAST", help="track these frames alone; they keep their numbers")
    add("--topic", help="image topic, for bags with several")
    add("--detections", type=Path, metavar="FILE",
        help="follow these boxes (such as det/det.txt) instead of the network's, with its embeddings")  # fmt: skip


@contextmanager
def _track_file(path: Path, columns: Array) -> Iterator[Callable[[Tracks, int], None]]:
    """Give a function that writes the tracks of a frame; ``path`` gets its name when all is done.

    After an error the lines so far, if any, stay in ``FILE.partial`` and an older ``FILE`` is left as it was.
    """
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
        try:
            yield lambda tracks, frame: file.writelines(format_rows(from_tracks(tracks, frame, columns)))
        except BaseException:
            if file.tell():
                os.replace(partial, path.with_name(path.name + ".partial"))
            raise


class _Stop:
    """Turns Ctrl-C and SIGTERM into a flag, so that the frame at hand is finished; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __enter__(self) -> _Stop:
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()


@dataclass
class Summary:
    """What one run did: frames tracked, ids given, wall-clock seconds, seconds of each stage by frame."""

    frames: int = 0
    last: int = 0
    ids: set[int] = field(default_factory=set)
    seconds: float = 0.0
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def lines(self) -> Iterator[str]:
        """Text for people."""
        rate = self.frames / self.seconds if self.seconds > 0 else 0.0
        yield f"{self.frames} frames, {len(self.ids)} tracks, {rate:.1f} frames/s"
        for stage, seconds in self.stages.items():
            middle, high = np.percentile(np.array(seconds) * 1000, [50, 95])
            yield f"  {stage:<11}{middle:7.2f} ms median {high:7.2f} ms p95"


class _Drawing(Protocol):
    """Where overlays go."""

    def __call__(self, frame: Frame, tracks: Tracks) -> None: ...


def _drawing(path: Path, frame_rate: float, classes: Sequence[str], stack: ExitStack) -> _Drawing:
    """Open the overlay video; the imports are only needed for it."""
    from qdtrack_model.drawing.overlay import Trails, draw
    from qdtrack_model.drawing.video import VideoWriter

    writer = stack.enter_context(VideoWriter(path, frame_rate))
    trails = Trails()

    def drawing(frame: Frame, tracks: Tracks) -> None:
        trails.extend(tracks)
        writer.write(draw(frame.image, tracks, classes, trails), frame.time)

    return drawing


def _selected(source: Source, frames: tuple[int, int] | None, bar: tqdm[Any], summary: Summary) -> Iterator[Frame]:
    """The frames asked for; says once when frames cannot be decoded, and times reading."""
    warned = False
    started = perf_counter()
    for frame in source:
        if source.undecodable and not warned:
            warned = True
            bar.write(f"qdtrack: warning: {source.name}: frame before {frame.index} cannot be decoded", sys.stderr)
        if frames and frame.index > frames[1]:
            return
        if not frames or frame.index >= frames[0]:
            summary.last = frame.index
            summary.stages["read"].append(perf_counter() - started)
            yield frame
        started = perf_counter()


def run(
    source: Source,
    pipeline: Pipeline,
    output: Path,
    overlay: Path | None = None,
    frames: tuple[int, int] | None = None,
    time: TimeUnit = "seconds",
    given: GivenDetections | None = None,
) -> tuple[Summary, bool]:
    """Track a source to its end, or until Ctrl-C; what was done until then is written all the same.

    ``time`` is the unit that the pipeline was loaded for, ``given`` what is followed instead of what it detects.

    Returns:
        What was done, and whether it was interrupted.

    Raises:
        SourceError: no frame in ``frames`` (first, last), or the source cannot be read.
    """
    summary = Summary()
    total = frames[1] - frames[0] + 1 if frames else source.length
    with ExitStack() as stack:
        write = stack.enter_context(_track_file(output, class_columns(pipeline.runtime.config)))
        rate = source.frame_rate or DEFAULT_FRAME_RATE
        drawing = _drawing(overlay, rate, pipeline.classes, stack) if overlay else None
        bar = stack.enter_context(tqdm(total=total, unit="frame", desc=source.name, disable=None))
        stop = stack.enter_context(_Stop())
        started = perf_counter()
        for frame in _selected(source, frames, bar, summary):
            moment = frame.time if time == "seconds" else frame.index
            if given is None:
                tracks, timings = pipeline.process(frame.image, moment), pipeline.timings
            else:
                tracks = pipeline.track(frame.image, given(frame), moment)
                timings = {**pipeline.timings, **given.timings}
            _record(summary, timings, tracks.ids)
            write(tracks, frame.index)
            if drawing:
                before = perf_counter()
                drawing(frame, tracks)
                summary.stages["overlay"].append(perf_counter() - before)
            bar.update()
            if stop.asked:
                break
        summary.seconds = perf_counter() - started
        if summary.frames == 0:
            where = f"frames {frames[0]}-{frames[1]}" if frames else "the source"
            raise SourceError(f"{source.name}: no frame in {where}")
    return summary, stop.asked


def _record(summary: Summary, timings: dict[str, float], ids: Array) -> None:
    summary.frames += 1
    summary.ids.update(ids.tolist())
    for stage, seconds in timings.items():
        summary.stages[stage].append(seconds)


def _check_outputs(args: argparse.Namespace) -> None:
    """Raise ValueError where writing would destroy the input, or a video could not be written."""
    for path in (args.output, args.overlay):
        if path is None:
            continue
        if path.resolve() == args.input.resolve():
            raise ValueError(f"{path}: would overwrite the input")
        # A finished file replaces what has its name, which must not be /dev/null.
        if path.exists() and not path.is_file():
            kind = "folder" if path.is_dir() else "device"
            raise ValueError(f"{path}: is a {kind}, expected a file to write")
    if args.overlay is not None:
        from qdtrack_model.drawing.video import check_name

        check_name(args.overlay)
        if args.overlay.resolve() == args.output.resolve():
            raise ValueError(f"{args.overlay}: named both as --output and as --overlay")


def _given(path: Path, pipeline: Pipeline) -> GivenDetections:
    """The detections in a file, for the network of a pipeline."""
    from qdtrack_model.given_detections import GivenDetections
    from qdtrack_model.runtimes.torch import TorchRuntime

    if not isinstance(pipeline.runtime, TorchRuntime):
        raise ValueError(f"--detections is for --runtime torch alone, got {pipeline.runtime.name}")
    return GivenDetections(path, pipeline.runtime)


def main(args: argparse.Namespace) -> int:
    """Track, then print what was done."""
    _check_outputs(args)
    with open_source(args.input, args.topic) as source:
        runtime = "torch" if args.detections and args.runtime == "auto" else args.runtime
        pipeline = load_pipeline(args, args.time, runtime, args.ego_motion)
        try:
            given = _given(args.detections, pipeline) if args.detections else None
            pipeline.runtime.warm_up()
            summary, interrupted = run(source, pipeline, args.output, args.overlay, args.frames, args.time, given)
        finally:
            pipeline.close()
        if interrupted:
            print(f"interrupted after frame {summary.last}: what was done is written")
        if source.undecodable:
            print(f"{source.undecodable} frames could not be decoded and are left out")
        elif source.length and summary.last < source.length and not (interrupted or args.frames):
            print(f"the source ended after frame {summary.last}; its header announces {source.length}")
    print("\n".join(summary.lines()))
    print(f"runtime {pipeline.runtime.name} on {pipeline.runtime.device}")
    print(f"tracks: {args.output}" + (f"\noverlay: {args.overlay}" if args.overlay else ""))
    return INTERRUPTED if interrupted else 0
