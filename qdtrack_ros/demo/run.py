"""The demonstration: a scene played at camera rate into a tracker node in another process, over DDS, and scored.

``python -m qdtrack_ros.demo [--video PATH] [--weights NAME] [--frames 300] [--output build/demo]``
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qdtrack_model.commands.replay import finish
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.replay.run import RunWriter
from qdtrack_ros.demo.material import bag_of_scene, bag_of_video
from qdtrack_ros.replay.live import Played, replay_live, settings_of
from qdtrack_ros.replay.process import NodeError

# What the demonstration left before its folder was a run.
LEFT_BEFORE = {"bag", "node.log", "tracks.txt", "overlay.mp4", "report.html"}


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; 2 where it could not be run."""
    args = _parse(arguments)
    # Only this machine takes part, and a robot on the same network never sees the demonstration.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except (NodeError, ValueError, OSError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--video", type=Path, help="track this video; scored where gt/gt.txt lies beside it")
    parser.add_argument("--weights", default="street", help="shipped weights by name, or a file (default: street)")
    parser.add_argument("--frames", type=int, help="number of images (default: 300, or the whole video)")
    parser.add_argument("--seed", type=int, default=9, help="seed of the synthetic scene (default: 9)")
    parser.add_argument("--output", type=Path, default=Path("build/demo"), help="folder to write (build/demo)")
    args = parser.parse_args(arguments)
    if args.frames is not None and args.frames < 2:
        parser.error(f"--frames: got {args.frames}, expected 2 or more")
    return args


def _run(args: argparse.Namespace) -> int:
    settings = settings_of(args.weights, {})
    make_room(args.output)
    run = RunWriter(args.output, settings)
    bag = args.output / "bag"
    if args.video is None:
        print(f"making a scene of {args.frames or 300} images (seed {args.seed}) ...", flush=True)
        bag_of_scene(bag, args.frames or 300, args.seed)
    else:
        print(f"turning {args.video} into a bag ...", flush=True)
        bag_of_video(bag, args.video, args.frames)
    print(f"starting the node with weights {args.weights} ...", flush=True)
    [played] = replay_live(Listed(str(bag), bag.name), None, "auto", {"weights": args.weights}, run).values()
    run.write()
    finish(run.folder, pictures=True)
    print()
    for label, value in table(played):
        print(f"  {label:<24}{value:>12}")
    print(f"\n{played.advice()}")
    return 0


def make_room(folder: Path) -> None:
    """Remove a demonstration of before; a folder that holds anything else stays, to be refused."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if {"bag", "node.log"} <= names <= LEFT_BEFORE:
        shutil.rmtree(folder)


def table(played: Played) -> Iterator[tuple[str, str]]:
    """Labels and values, as shown on the terminal."""
    latencies = 1e3 * played.latencies
    seen = latencies[np.isfinite(latencies)]
    median, high = np.percentile(seen, [50, 95]) if len(seen) else (np.nan, np.nan)
    yield "frames in", str(len(played.sent))
    yield "frames out", str(len(seen))
    yield "frames dropped", str(len(played.sent) - len(seen))
    yield "latency median", f"{median:.1f} ms"
    yield "latency p95", f"{high:.1f} ms"
    yield "processing median", f"{1e3 * played.processing:.1f} ms"
    yield "reserve", f"x{played.reserve:.1f}"
