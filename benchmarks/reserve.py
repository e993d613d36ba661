"""How much reserve the node has beside its camera: alone, beside other programs, and with too many images.

    python benchmarks/reserve.py [--weights street] [--frames 300] [--busy 1] [--faster 4]

The street of ``make demo`` is played over DDS into a node in another process, three times: at the camera's rate; the
same with ``--busy`` processes that compute without end beside it; and ``--faster`` times as fast, which should be too
much. A line says whether each goal holds, and the status is 1 where one does not: all images tracked alone and nine
tenths beside a busy core; of too many the newest, so that tracks are at most twice as old as one image takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # a robot on the same network hears nothing of it

from qdtrack_model.fleet.listing import Listed
from qdtrack_model.replay.run import Run, RunWriter
from qdtrack_ros.demo.material import bag_of_scene
from qdtrack_ros.replay.live import Played, replay_live, settings_of


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Processes that compute without end."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def play(bag: Path, weights: str, rate: float = 1.0) -> tuple[Played, dict[str, float]]:
    """Play the bag into a node: what came back, and its scores."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunWriter(Path(folder), settings_of(weights, {}))
        listed = Listed(str(bag), bag.name)
        [played] = replay_live(listed, None, "auto", {"weights": weights}, run, rate=rate).values()
        run.write()
        return played, Run.read(folder).content["total"]["all"]


def line(what: str, results: Played, scores: dict[str, float]) -> str:
    """A line of the table."""
    median, high = np.nanpercentile(1e3 * results.latencies, [50, 95])
    return (
        f"{what:<22}{len(results.received):>6} of {len(results.sent)}{1e3 * results.processing:>12.1f}"
        f"{results.reserve:>9.1f}{median:>10.1f}{high:>8.1f}{100 * scores['mota']:>8.1f}{100 * scores['idf1']:>7.1f}"
    )


def goals(alone: Played, beside: Played, flooded: Played) -> dict[str, bool]:
    """What must hold, and whether it does."""
    sent, age = len(alone.sent), float(np.nanpercentile(flooded.latencies, 95))
    return {
        f"alone {len(alone.received)} of {sent} images, all wanted": len(alone.received) == sent,
        f"beside other programs {len(beside.received)} of {sent}, {round(0.9 * sent)} wanted": (
            len(beside.received) >= round(0.9 * sent)
        ),
        f"of too many, 95 % of the tracks are younger than {1e3 * age:.0f} ms, "
        f"{age / flooded.processing:.1f} times the processing, 2 wanted": age <= 2 * flooded.processing,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="street")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--busy", type=int, default=1, help="processes that compute beside the node")
    parser.add_argument("--faster", type=float, default=4.0, help="how many times the camera's rate is too much")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        bag_of_scene(bag, args.frames, seed=9)
        alone, of_alone = play(bag, args.weights)
        with load(args.busy):
            beside, of_beside = play(bag, args.weights)
        flooded, of_flooded = play(bag, args.weights, args.faster)
    print(f"weights {args.weights}, {1 / alone.period:g} images/s, {os.cpu_count()} cores")
    print(f"{'':<22}{'images':>13}{'processing':>12}{'reserve':>9}{'age p50':>10}{'p95':>8}{'MOTA':>8}{'IDF1':>7}")
    print(line("alone", alone, of_alone))
    print(line(f"beside {args.busy} busy", beside, of_beside))
    print(line(f"{args.faster:g} times as fast", flooded, of_flooded))
    held = goals(alone, beside, flooded)
    for text, holds in held.items():
        print(f"{'holds' if holds else 'FAILS'}: {text}")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
