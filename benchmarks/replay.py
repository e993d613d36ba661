"""What lockstep replay adds to the pipeline, how fast cached detections are tracked, and what memory a long bag takes.

    python benchmarks/replay.py [--weights street] [--frames 150] [--minutes 30]

The first is a bag of small images at 10 a second with a network that does nothing but to give 20 boxes, whose memory is
asked for along the way, after one of a sixth of its length, and when its video and report are made. The second is 20
objects in 2000 frames on one core. The third is a synthetic street at 1280x720: the processor time of a whole replay,
with its files and scores, against that of the pipeline's stages in it; reading and decoding, which everybody who tracks
a bag needs, is apart.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np

from qdtrack_model import pipeline
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.data.bags import BagFrame, write_bag
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay import lockstep
from qdtrack_model.replay.lockstep import replay_bag, settings_of, track_again
from qdtrack_model.replay.pages.report import write_report
from qdtrack_model.replay.pictures import write_pictures
from qdtrack_model.replay.run import Run, RunWriter
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Array, Detections
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.writer import write_scene_bag
from qdtrack_model.tracking import QuasiDenseTracker

OBJECTS = 20
SIZE = (160, 96)  # of small images
RATE = 10.0


class Walkers:
    """A runtime that gives 20 boxes that move about, whatever the image shows."""

    name, device, on_gpu, takes_gpu_images = "walkers", "cpu", False, False
    config = OneShotConfig(classes=("pedestrian",), input_size=(96, 160), embedding_size=128)

    def __init__(self) -> None:
        self._embeddings = np.random.default_rng(0).normal(size=(OBJECTS, 128)).astype(np.float32)
        self._step = 0

    def warm_up(self) -> None:
        """Nothing to do."""

    def infer(self, images: Array) -> list[Detections]:
        """The boxes of the next step."""
        self._step += 1
        return [Detections(boxes(self._step), np.full(OBJECTS, 0.95), np.zeros(OBJECTS), self._embeddings)]

    def close(self) -> None:
        """Nothing to do."""


def boxes(step: int) -> Array:
    """Boxes (20, 4) of a moment."""
    places = np.arange(OBJECTS)
    x, y = 8 + 7 * places + 2 * np.sin(step / 20 + places), 20 + 3 * (places % 5)
    return np.stack([x, y, x + 6, y + 14], axis=1)


def small_bag(path: Path, frames: int) -> None:
    """Small images with ground truth."""
    image, ones = np.full((SIZE[1], SIZE[0], 3), 80, np.uint8), np.ones(OBJECTS)

    def pictures() -> Iterator[BagFrame]:
        for step in range(1, frames + 1):
            yield BagFrame(image, MotBoxes(ones * step, np.arange(1, OBJECTS + 1), boxes(step), ones, ones, ones))

    write_bag(path, pictures(), RATE)


def replayed(bag: Path, folder: Path, network: Pipeline, memory: list[float] | None = None) -> None:
    """Replay a bag and score it; appends to ``memory`` [MB] once a minute of the bag."""
    frames = 0

    def progress(name: str) -> None:
        nonlocal frames
        frames += 1
        if memory is not None and frames % round(60 * RATE) == 0:
            memory.append(resident())

    run = RunWriter(folder, settings_of(network, "benchmark"))
    replay_bag(Listed(str(bag), bag.name), None, "auto", network, run, progress)
    run.write()


def resident() -> float:
    """Memory of this process [MB]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def overhead(weights: str, frames: int, folder: Path) -> None:
    """Print what lockstep adds to the pipeline, in processor time of one thread."""
    bag = folder / "street"
    write_scene_bag(Scene(SceneConfig(seed=9, frames=frames)), bag)
    network = Pipeline.load(weights, Options(threads=1))
    network.runtime.warm_up()
    # The stages of timing.csv in processor time: that of the wall is full of other programs.
    lockstep.perf_counter = pipeline.perf_counter = process_time
    shares = []
    for _ in range(3):
        started = process_time()
        replayed(bag, folder / "lockstep", network)
        whole = process_time() - started
        [(_, sequence)] = Run.read(folder / "lockstep").sequences()
        read, *stages = (float(np.sum(sequence.timing[stage])) for stage in lockstep.STAGES)
        shares.append((whole - read - sum(stages), sum(stages), read))
    added, own, read = min(shares)
    per = 1e3 / frames
    print(f"pipeline {own * per:.1f} ms of one core an image, reading and decoding {read * per:.1f} ms")
    print(
        f"lockstep with its files and scores adds {added * per:.1f} ms, {100 * added / own:.1f} % of the pipeline's own"
    )


def cached(folder: Path) -> None:
    """Print how fast cached detections are tracked again."""
    small_bag(folder / "cached", 2000)
    replayed(folder / "cached", folder / "first", Pipeline(Walkers(), QuasiDenseTracker(QuasiDenseConfig())))
    source = Run.read(folder / "first")
    run = RunWriter(folder / "second", source.settings)
    times: list[float] = []
    started = process_time()
    track_again(source, source.settings.tracker, run, lambda name: times.append(process_time() - started))
    scored = process_time() - started
    print(f"cached detections of {OBJECTS} objects: {len(times) / times[-1]:.0f} frames/s of one core, "
          f"{len(times) / scored:.0f} with scoring")  # fmt: skip


def long_bag(minutes: float, folder: Path) -> None:
    """Print the memory along a long bag, and the most that this process ever took, scores included."""
    small_bag(folder / "long", round(60 * RATE * minutes))
    memory: list[float] = []
    replayed(folder / "long", folder / "run", Pipeline(Walkers(), QuasiDenseTracker(QuasiDenseConfig())), memory)
    shown = sorted({0, len(memory) // 2, len(memory) - 1})
    told = ", ".join(f"{memory[place]:.0f} MB after {place + 1} min" for place in shown)
    print(f"memory while {minutes:g} minutes are replayed: {told}; at most {peak():.0f} MB, scores included")


def shown(minutes: float, folder: Path) -> None:
    """Print the most that this process ever took after the video, the crops and the report of a long bag."""
    run = Run.read(folder / "run")
    write_pictures(run)
    pictures = peak()
    write_report(run)
    print(f"memory for the video and crops of {minutes:g} minutes: {pictures:.0f} MB, for the report {peak():.0f} MB")


def peak() -> float:
    """The most memory that this process ever took [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="street")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=30.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for minutes in (args.minutes / 6, args.minutes):
            long_bag(minutes, Path(name) / f"{minutes:g}")
        shown(args.minutes, Path(name) / f"{args.minutes:g}")
        cached(Path(name))
        overhead(args.weights, args.frames, Path(name))


if __name__ == "__main__":
    main()
