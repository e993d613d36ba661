"""Frames a second of the whole way from a decoded image to tracks, each runtime against eager torch in the same run.

    python benchmarks/pipeline.py [--weights street] [--runtimes auto openvino:fp32 torch] [--threads 2] [--frames 200]

The images are those of a synthetic street at 1280x720. Every runtime works in a process of its own, where no threads of
another one spin, and they take turns frame by frame, so that a change in the machine's speed meets all of them alike.
Times are in ms; CPU is what all threads computed for a frame, which holds also on a machine that is busy with other
things. The last line is what all takes that is not the network.
"""

from __future__ import annotations

import argparse
import multiprocessing
from multiprocessing.connection import Connection
from time import perf_counter, process_time, sleep

import numpy as np

from qdtrack_model import runtimes
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.synthetic import Scene, SceneConfig

STAGES = ("preprocess", "network", "track")


def options_of(name: str, threads: int) -> runtimes.Options:
    """A runtime as it is named on the command line."""
    runtime, _, precision = name.partition(":")
    return runtimes.Options(runtime, precision or "auto", threads)


def work(channel: Connection, weights: str, options: runtimes.Options) -> None:
    """One runtime's process: says what it runs on, then tracks an image further for each number it is sent, until None.

    It answers with seconds: the whole, its STAGES, and what all threads computed.
    """
    scene = Scene(SceneConfig(seed=7))
    images = [scene.frame(index).image for index in range(0, 100, 4)]
    images += images[-2:0:-1]  # back and forth: no jump for the tracker
    pipeline = Pipeline.load(weights, options)
    pipeline.process(images[0], -1.0)
    height, width = pipeline.runtime.config.input_size
    channel.send(f"{pipeline.runtime.name}, {pipeline.runtime.device}, network input {width}x{height}")
    for step in iter(channel.recv, None):
        start, used = perf_counter(), process_time()
        pipeline.process(images[step % len(images)], step * 0.16)
        whole, computed = perf_counter() - start, process_time() - used
        channel.send([whole, *(pipeline.timings[stage] for stage in STAGES), computed])


def started(weights: str, options: runtimes.Options) -> Connection:
    """The way to a new process that does :func:`work`."""
    processes = multiprocessing.get_context("spawn")  # a forked one would inherit threads that are not there
    here, there = processes.Pipe()
    processes.Process(target=work, args=(there, weights, options), daemon=True).start()
    there.close()  # so that a process that ends early is seen
    return here


def main() -> None:
    present = [name for name in runtimes.RUNTIMES if runtimes.module_of(name).missing() is None]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="street")
    parser.add_argument(
        "--runtimes",
        nargs="+",
        default=["auto", *present],
        metavar="NAME[:PRECISION]",
        help="[auto and all others here]",
    )
    parser.add_argument("--threads", type=int, default=runtimes.usable_cores())
    parser.add_argument("--frames", type=int, default=200)
    args = parser.parse_args()

    workers = {name: started(args.weights, options_of(name, args.threads)) for name in args.runtimes}
    print(f"weights {args.weights}, images 1280x720")
    for name, worker in workers.items():
        print(f"{name}: {worker.recv()}")
    samples: dict[str, list[list[float]]] = {name: [] for name in workers}
    for step in range(args.frames):
        for name, worker in workers.items():
            sleep(0.01)  # the threads of the last one still spin for a moment
            worker.send(step)
            samples[name].append(worker.recv())
    for worker in workers.values():
        worker.send(None)

    medians = {name: np.median([row[0] for row in rows]) for name, rows in samples.items()}
    versus = "torch" if "torch" in medians else args.runtimes[0]
    head = "".join(f"{stage:>12}" for stage in STAGES)
    print(f"{'runtime':<18}{'ms p50':>8}{'p95':>8}{head}{'CPU':>8}{'frames/s':>10}  vs {versus}")
    for name, rows in samples.items():
        times = np.array(rows) * 1e3
        median, late = np.percentile(times[:, 0], [50, 95])
        stages = "".join(f"{np.median(column):>12.2f}" for column in times[:, 1:-1].T)
        rate = f"{np.median(times[:, -1]):>8.1f}{1e3 / median:>10.1f}{medians[versus] / medians[name]:>9.2f}x"
        print(f"{name:<18}{median:>8.1f}{late:>8.1f}{stages}{rate}")
    # The network is the third column of a row: the whole, then the stages in their order.
    around = np.array([(row[0] - row[2]) * 1e3 for rows in samples.values() for row in rows])
    median, late = np.percentile(around, [50, 95])
    print(f"around the network: {median:.2f} ms p50, {late:.2f} p95")


if __name__ == "__main__":
    main()
