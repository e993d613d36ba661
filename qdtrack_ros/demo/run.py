"""The demonstration: a scene played at camera rate into a tracker node in another process, over DDS, and scored.

``python -m qdtrack_ros.demo [--video PATH] [--weights NAME] [--frames 300] [--output build/demo]``
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from qdtrack_model.data.readers.mot import write_mot
from qdtrack_ros.demo.material import Material, material_from_scene, material_from_video
from qdtrack_ros.demo.player import Player
from qdtrack_ros.demo.process import NodeError, NodeProcess
from qdtrack_ros.demo.recorder import Recorder
from qdtrack_ros.demo.report import write_overlay_video, write_report
from qdtrack_ros.demo.results import DemoResults

NAMESPACE = "/qdtrack_demo"  # keeps the demonstration apart from whatever else runs in the graph
SETTINGS: dict[str, object] = {
    # Set from the start: otherwise the node finds out by itself and subscribes anew, while images are on their way.
    f"qos_overrides.{NAMESPACE}/image/compressed.subscription.reliability": "reliable",
}
_LAST_ANSWERS = 3.0  # seconds without tracks, after the last image, until no more are waited for


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
    args.output.mkdir(parents=True, exist_ok=True)
    if args.video is None:
        print(f"making a scene of {args.frames or 300} images (seed {args.seed}) ...", flush=True)
        material = material_from_scene(args.output / "bag", args.frames or 300, args.seed)
    else:
        print(f"turning {args.video} into a bag ...", flush=True)
        material = material_from_video(args.output / "bag", args.video, args.frames)
    results = play_into_node(material, args.weights, args.output / "node.log")
    write_results(results, args.output)
    print()
    for label, value in results.table():
        print(f"  {label:<24}{value:>12}")
    print(f"\n{results.advice()}\n{results.scoring()}")
    for name in ("tracks.txt", "overlay.mp4", "report.html"):
        print(f"  {args.output / name}")
    return 0


def write_results(results: DemoResults, output: Path) -> None:
    """Write tracks.txt, overlay.mp4 and report.html."""
    write_mot(output / "tracks.txt", results.boxes())
    print("drawing the overlay and the report ...", flush=True)
    key_frames = write_overlay_video(results, output / "overlay.mp4")
    write_report(results, key_frames, output / "report.html")


def play_into_node(
    material: Material,
    weights: str,
    log: Path,
    program: Sequence[str] = ("-m", "qdtrack_ros.node"),
    settings: Mapping[str, object] = SETTINGS,
    rate: float = 1.0,
) -> DemoResults:
    """Start a node (``program`` is what Python runs), play the bag into it, keep what comes back.

    ``settings`` are parameters of the node besides its weights; ``rate`` is 1 for the pace of the bag.

    Raises:
        NodeError: the node could not be configured, or ended.
    """
    topic, kind = material.topic, "sensor_msgs/msg/CompressedImage"
    with _spinning_node() as node:
        recorder = Recorder(node, f"{NAMESPACE}/tracker")
        player = Player(node, {topic: (f"{NAMESPACE}/image/compressed", kind)}, rate)
        with NodeProcess(node, NAMESPACE, {"weights": weights, **settings}, log, program) as process:
            print(f"starting the node with weights {weights} ...", flush=True)
            process.change_state("configure")
            process.change_state("activate")
            process.wait(lambda: player.connected and recorder.connected, "connect", 20.0)
            sent: dict[int, float] = {}
            for one in player.play(material.records()):
                sent[one.stamp] = one.moment
                process.check()
                _progress(len(sent), len(material.frame_of), len(recorder.received))
            end = time.monotonic()
            while len(recorder.received) < len(sent) and time.monotonic() < max(end, recorder.last) + _LAST_ANSWERS:
                time.sleep(0.02)
            _progress(len(sent), len(material.frame_of), len(recorder.received), last=True)
            process.change_state("deactivate")
        return DemoResults.of(material, weights, sent, recorder, log)


@contextmanager
def _spinning_node() -> Iterator[Node]:
    """A node of this process, spun in a thread of its own."""
    context = Context()
    # Without rclpy's handlers Ctrl-C interrupts the playing, and the way out ends the tracker's process.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("demo", namespace=NAMESPACE, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=(executor,), daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown(1.0)
        thread.join(2.0)
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException, ShutdownException):
        executor.spin()


def _progress(sent: int, length: int, received: int, last: bool = False) -> None:
    if not sys.stdout.isatty() and not last:
        return
    print(f"\rplaying: {sent}/{length} images sent, {received} back", end="\n" if last else "", flush=True)
