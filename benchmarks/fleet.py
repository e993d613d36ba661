"""What more workers bring: the same bags replayed by one worker and by two.

    python benchmarks/fleet.py [--bags 4] [--frames 100] [--jobs 1 2]

Bags of the synthetic street at 1280x720, replayed and scored without pictures; each worker has one thread. Printed are
the seconds of all with the start of the workers, the processor time of a bag, and how busy workers were with bags.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

from qdtrack_model.fleet.listing import Listed
from qdtrack_model.fleet.workers import LostWorker, Workers, team
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.worker import BagWorker, Replayed
from qdtrack_model.runtimes import Options
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.writer import write_scene_bag


def worker(weights: str, output: str) -> BagWorker:
    """What each worker does."""
    return BagWorker(Pipeline.load(weights, Options(threads=1)), weights, output, pictures=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="street")
    parser.add_argument("--bags", type=int, default=4)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bags = [Listed(f"{folder}/bag-{number}", f"bag-{number}") for number in range(args.bags)]
        for number, bag in enumerate(bags):
            write_scene_bag(Scene(SceneConfig(seed=number, frames=args.frames)), Path(bag.place))
        for jobs in args.jobs:
            # Also one worker is a process of its own here, so that all begin alike; Ray's are the same processes.
            started = perf_counter()
            with team(partial(worker, args.weights, f"{folder}/run-{jobs}"), Workers(jobs, apart=True)) as apply:
                done: list[Replayed | LostWorker] = [one for _, one in apply(bags)]
            whole = perf_counter() - started
            found = [one for one in done if isinstance(one, Replayed)]
            busy = sum(one.seconds for one in found)
            processor = sum(one.processor_seconds for one in found) / len(found)
            print(
                f"{jobs} workers: {whole:.1f} s for {len(found)} bags of {args.frames} images, "
                f"{processor:.1f} s of a core a bag, workers busy {100 * busy / (jobs * whole):.0f} %"
            )


if __name__ == "__main__":
    main()
