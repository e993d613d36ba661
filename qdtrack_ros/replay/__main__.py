"""``python -m qdtrack_ros.replay``: what ``qdtrack replay --live`` starts, with the same arguments."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from qdtrack_model.commands import LEFT_OUT
from qdtrack_model.commands.arguments import key_values
from qdtrack_model.commands.replay import add_arguments, done_before, finish, unfinished_replay
from qdtrack_model.data.bags import BagError
from qdtrack_model.data.readers.mot import MotError
from qdtrack_model.fleet.listing import listed
from qdtrack_model.fleet.unfinished import forget, stamp_of
from qdtrack_model.replay.run import Collected, RunWriter
from qdtrack_model.replay.truth import TruthError
from qdtrack_model.replay.worker import part_of
from qdtrack_ros.replay.live import PROGRAM, replay_live, settings_of
from qdtrack_ros.replay.process import NodeError


def main(arguments: list[str] | None = None, program: tuple[str, ...] = PROGRAM) -> int:
    """Play bags into a node, score, and write the report; 2 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="qdtrack replay")
    add_arguments(parser)
    # Only this machine takes part, and a robot on the same network never sees the replay.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    try:
        return _run(parser.parse_args(arguments), program)
    except KeyboardInterrupt:
        print("\nqdtrack: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except (ValueError, OSError) as error:
        print(f"qdtrack: error: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace, program: tuple[str, ...]) -> int:
    tracker = {f"tracker.{key}": value for key, value in key_values(args.tracker, "--tracker").items()}
    parameters = {
        "weights": str(args.weights), "runtime": args.runtime, "precision": args.precision,
        "threads": args.threads or 0, **tracker,
    }  # fmt: skip
    settings = settings_of(str(args.weights), parameters)
    unfinished = unfinished_replay(args, settings)
    run, bags = RunWriter(Path(args.output), settings), listed(args.inputs)
    parts = done_before(unfinished, bags, run)
    left_out = 0
    for bag in bags:
        if bag.name in parts:
            continue
        print(f"playing {bag.place} into a node with weights {args.weights} ...", flush=True)
        part, stamped = Collected(run.folder, run.settings), stamp_of(bag)
        try:
            replay_live(bag, args.topic, args.ground_truth, parameters, part, program, args.rate)
            parts[bag.name] = part
            unfinished.keep(bag, stamped, part.to_state(), [bag.name])
        except (NodeError, BagError, TruthError, MotError) as error:
            left_out += 1
            parts[bag.name] = part_of(run, bag, error)
            print(f"qdtrack: warning: left out: {error}", file=sys.stderr)
        run.hold([parts[one.name] for one in bags if one.name in parts])
        run.write()
    finish(run.folder, not args.no_pictures)
    forget(args.output)
    return LEFT_OUT if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
