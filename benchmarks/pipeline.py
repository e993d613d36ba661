"""Frames a second of the whole way from a decoded image to tracks, each runtime against eager torch in the same run.

    python benchmarks/pipeline.py [--weights street] [--threads 2] [--frames 200]

The images are those of a synthetic street at 1280x720. The runtimes take turns frame by frame, so that a change in
the machine's speed meets all of them alike.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from qdtrack_model import runtimes
from qdtrack_model.data.synthetic import Scene, SceneConfig
from qdtrack_model.pipeline import Pipeline

STAGES = ("preprocess", "network", "track")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="street")
    parser.add_argument("--threads", type=int, default=runtimes.usable_cores())
    parser.add_argument("--frames", type=int, default=200)
    args = parser.parse_args()

    scene = Scene(SceneConfig(seed=7))
    images = [scene.frame(index).image for index in range(0, 100, 4)]
    pipelines = {
        name: Pipeline.load(args.weights, runtimes.Options(name, threads=args.threads)) for name in runtimes.RUNTIMES
    }
    samples: dict[str, list[list[float]]] = {name: [] for name in pipelines}
    order = [*range(len(images)), *range(len(images) - 2, 0, -1)]  # back and forth: no jump for the tracker
    for pipeline in pipelines.values():
        pipeline.process(images[0], -1.0)
    for step in range(args.frames):
        image = images[order[step % len(order)]]
        for name, pipeline in pipelines.items():
            start = perf_counter()
            pipeline.process(image, step * 0.16)
            samples[name].append([perf_counter() - start, *(pipeline.timings[stage] for stage in STAGES)])

    reference = np.median([row[0] for row in samples["torch"]])
    height, width = pipelines["torch"].runtime.config.input_size
    print(f"weights {args.weights}, network input {width}x{height}, images 1280x720, {args.threads} threads")
    head = "".join(f"{stage:>12}" for stage in STAGES)
    print(f"{'runtime':<14}{'ms p50':>8}{'p95':>8}{head}{'frames/s':>10}{'vs torch':>10}")
    for name, rows in samples.items():
        times = np.array(rows) * 1e3
        median, late = np.percentile(times[:, 0], [50, 95])
        stages = "".join(f"{np.median(column):>12.2f}" for column in times[:, 1:].T)
        print(f"{name:<14}{median:>8.1f}{late:>8.1f}{stages}{1e3 / median:>10.1f}{1e3 * reference / median:>9.2f}x")


if __name__ == "__main__":
    main()
