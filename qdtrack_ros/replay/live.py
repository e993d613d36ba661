"""Live replay: a bag at its own rate over DDS into a node in another process, with the drops a vehicle would see."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from qdtrack_model import checkpoints
from qdtrack_model.data import bags
from qdtrack_model.data.readers.mot import class_columns, from_tracks
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.replay.lockstep import chosen_topics
from qdtrack_model.replay.run import Collected, Settings
from qdtrack_model.replay.sequence import SequenceWriter, TruthWriter
from qdtrack_model.replay.truth import Columns, read_truth
from qdtrack_model.structures import Array, Tracks
from qdtrack_model.tracker_config import retuned
from qdtrack_ros.input.video import VIDEO_TYPES
from qdtrack_ros.replay.player import Player
from qdtrack_ros.replay.process import NodeProcess
from qdtrack_ros.replay.recorder import Received, Recorder

NAMESPACE = "/qdtrack_replay"  # keeps the replay apart from whatever else runs in the graph
PROGRAM = ("-m", "qdtrack_ros.node")
_INPUTS = {
    bags.RAW: "image",
    bags.COMPRESSED: "image/compressed",
    **{f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}": topic for topic, kind in VIDEO_TYPES.items()},
}
_LAST_ANSWERS = 3.0  # seconds without tracks, after the last image, until no more are waited for


@dataclass(frozen=True, eq=False)
class Played:
    """One camera of a bag that was played.

    Args:
        topic: of its images in the bag.
        numbers: header stamp [ns] -> number of the image among those of the topic, from 1.
        sent: header stamp [ns] -> ``time.monotonic()`` at which the image left.
        received: header stamp [ns] -> the tracks that came back.
        processing: median of the seconds that the node was busy with an image; NaN where it did not tell.
        rate: 1 for the pace of the bag, 2 for twice as fast.
    """

    topic: str
    numbers: Mapping[int, int]
    sent: Mapping[int, float]
    received: Mapping[int, Received]
    processing: float
    rate: float = 1.0

    @property
    def latencies(self) -> Array:
        """Seconds from publishing an image to having its tracks, in the order of sending; NaN for lost ones."""
        return np.array(
            [self.received[s].moment - left if s in self.received else np.nan for s, left in self.sent.items()]
        )

    @property
    def period(self) -> float:
        """Seconds between two images as they were played; NaN for fewer than two."""
        steps = np.diff(list(self.sent))
        return float(np.median(steps)) * 1e-9 / self.rate if len(steps) else float("nan")

    @property
    def reserve(self) -> float:
        """How many times as many images a second could have been tracked, one after the other; below 1 not all could.

        With a GPU there is more: stages overlap.
        """
        return self.period / self.processing

    def advice(self) -> str:
        """What the reserve means, in a sentence or two, and what to do where there is none."""
        lost = len(self.sent) - len(self.received)
        if not np.isfinite(self.reserve):
            return "The node did not tell how long an image takes: too few images."
        told = (
            f"The node is busy with an image for {1e3 * self.processing:.0f} ms, and one comes every "
            f"{1e3 * self.period:.0f} ms: reserve x{self.reserve:.1f}."
        )
        if self.reserve < 1:
            return (
                f"{told} The newest image was always the next, {lost} were left out. For more of them end other "
                "programs, take a smaller input (qdtrack export WEIGHTS --size 288x512 --precision bf16), or a "
                "processor or GPU that docs/deployment.md names."
            )
        return f"{told} Still {lost} images were left out: other programs had the processor." if lost else told


def settings_of(weights: str, parameters: Mapping[str, Any]) -> Settings:
    """What is to be remembered of a node with these ``parameters``.

    Raises:
        CheckpointError, ConfigError: no such weights, or no such value.
    """
    checkpoint = checkpoints.load(weights)
    prefix = "tracker."
    values = {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}
    classes = dict(zip(class_columns(checkpoint.config).tolist(), checkpoint.config.classes, strict=True))
    runtime = f"{parameters.get('runtime', 'auto')} in the node"
    return Settings("live", weights, runtime, retuned(checkpoint.tracker, values), classes)


def play_into_node(
    bag: Path,
    cameras: Mapping[str, str],
    parameters: Mapping[str, object],
    log: Path,
    program: Sequence[str] = PROGRAM,
    rate: float = 1.0,
) -> dict[str, Played]:
    """Start a node (``program`` is what Python runs), play a bag into it, keep what comes back.

    Args:
        bag: folder or file.
        cameras: name -> topic of its images.
        parameters: of the node.
        log: file that takes what the node prints.
        program: what Python is to run.
        rate: 1 for the pace of the bag, 2 for twice as fast.

    Raises:
        NodeError: the node could not be configured, or ended.
        BagError: the bag is broken, or a topic's messages are not what the node takes.
    """
    names = dict.fromkeys(cameras, "") if len(cameras) == 1 else {name: name for name in cameras}
    kinds = _kinds(bag, cameras)
    inputs = {name: "/".join(filter(None, (NAMESPACE, names[name], _INPUTS[kinds[name]]))) for name in cameras}
    with _spinning_node() as node:
        recorders = {name: Recorder(node, f"{NAMESPACE}/tracker", names[name]) for name in cameras}
        player = Player(node, {cameras[name]: (inputs[name], kinds[name]) for name in cameras}, rate)
        # Set from the start: otherwise the node finds out by itself and subscribes anew, while images are on their way.
        reliable = {f"qos_overrides.{topic}.subscription.reliability": "reliable" for topic in inputs.values()}
        several = {"cameras": list(cameras)} if len(cameras) > 1 else {}
        with NodeProcess(node, NAMESPACE, {**parameters, **several, **reliable}, log, program) as process:
            process.change_state("configure")
            process.change_state("activate")
            process.wait(lambda: _connected(player, recorders.values()), "connect", 20.0)
            sent = _play(player, bag, process)
            _wait(recorders.values(), sum(map(len, sent.values())))
            process.change_state("deactivate")
    return {
        name: Played(
            topic, {stamp: number for stamp, (number, _) in sent.get(topic, {}).items()},
            {stamp: moment for stamp, (_, moment) in sent.get(topic, {}).items()},
            dict(recorders[name].received), recorders[name].processing, rate,
        )
        for name, topic in cameras.items()
    }  # fmt: skip


def _kinds(bag: Path, cameras: Mapping[str, str]) -> dict[str, str]:
    """Camera -> type of its messages."""
    with bags.opened(bag) as reader:
        kinds = {connection.topic: connection.msgtype for connection in reader.connections}
    for topic in cameras.values():
        if kinds[topic] not in _INPUTS:
            raise bags.BagError(f"{bag}: {topic}: {kinds[topic]} is not played; expected {' or '.join(_INPUTS)}")
    return {name: kinds[topic] for name, topic in cameras.items()}


def _play(player: Player, bag: Path, process: NodeProcess) -> dict[str, dict[int, tuple[int, float]]]:
    """Play the bag: topic -> header stamp [ns] -> number of the image, and the moment it left."""
    sent: dict[str, dict[int, tuple[int, float]]] = {}
    counts: dict[str, int] = {}
    for one in player.play(bags.read_raw(bag)):
        counts[one.topic] = counts.get(one.topic, 0) + 1
        sent.setdefault(one.topic, {}).setdefault(one.stamp, (counts[one.topic], one.moment))
        process.check()
        if sys.stdout.isatty():
            print(f"\rplaying: {sum(counts.values())} images sent", end="", flush=True)
    return sent


def _connected(player: Player, recorders: Iterable[Recorder]) -> bool:
    return player.connected and all(one.connected for one in recorders)


def _wait(recorders: Collection[Recorder], expected: int) -> None:
    """Wait for the last answers."""
    end = time.monotonic()
    while (received := sum(len(one.received) for one in recorders)) < expected:
        if time.monotonic() > max(end, *(one.last for one in recorders)) + _LAST_ANSWERS:
            break
        time.sleep(0.02)
    print(f"\rplayed: {expected} images sent, {received} back", flush=True)


def add_played(run: Collected, bag: Listed, played: Mapping[str, Played], truth: str) -> None:
    """Write what came back for each camera of a bag, and score it.

    Raises:
        TruthError, MotError, BagError: the ground truth cannot be used.
    """
    path, classes = Path(bag.place), run.settings.classes
    columns = np.array(list(classes), np.int64)
    for camera, one in played.items():
        name = f"{bag.name}/{camera}"
        with SequenceWriter(run.folder / name, ("latency",), detections=False) as writer:
            for (stamp, number), latency in zip(one.numbers.items(), one.latencies.tolist(), strict=True):
                tracks = one.received[stamp].tracks if stamp in one.received else Tracks.empty()
                writer.write(number, stamp / 1e9, from_tracks(tracks, number, columns), {"latency": latency}, None)
        times = {stamp / 1e9: number for stamp, number in one.numbers.items()}
        known = Columns(list(classes.values()), columns)
        with TruthWriter(run.folder / name) as files:
            taken = read_truth(truth, path, one.topic, name, times, known, files.write)
            files.finish(taken.frames if taken else None)
        run.add(name, {
            "bag": bag.place, "topic": one.topic, "size": bags.image_size(path, one.topic), "rate": one.rate,
            "left_out": {"dropped": len(one.sent) - len(one.received)}, "truth": taken.to_mapping() if taken else None,
            "advice": one.advice(),
        })  # fmt: skip


def replay_live(
    bag: Listed,
    topics: list[str] | None,
    truth: str,
    parameters: Mapping[str, object],
    run: Collected,
    program: Sequence[str] = PROGRAM,
    rate: float = 1.0,
) -> dict[str, Played]:
    """Play the cameras of a bag into a node, and add what came back to a run; arguments as of the functions above."""
    path = Path(bag.place)
    cameras = chosen_topics(path, topics)
    log = run.folder / bag.name / "node.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    played = play_into_node(path, cameras, parameters, log, program, rate)
    add_played(run, bag, played, truth)
    return played


@contextmanager
def _spinning_node() -> Iterator[Node]:
    """A node of this process, spun in a thread of its own."""
    context = Context()
    # Without rclpy's handlers Ctrl-C interrupts the playing, and the way out ends the tracker's process.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("replay", namespace=NAMESPACE, context=context)
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
