"""How soon the node answers while it is being configured for minutes, and how soon it ends when it is told to.

    python benchmarks/bounds.py [--seconds 10]

The node runs in a process of its own with a network that takes a minute to load, as an engine that is built does. For
``--seconds`` its services are asked ten times a second in turns: the state, the transitions, a parameter. Then it is
ended in three ways, each in a process of its own, by Ctrl-C (SIGINT), SIGTERM, and the transition ``shutdown``, in
the middle of configuring. Then a network that fails for ever with ``on_fault: exit``: how long from the image to the
end of the process, and from the start of its successor to tracks. Last, with ``on_fault: rebuild``, how long
diagnostics pause while inference fails for ever, is rebuilt and fails again, and while it hangs. A line says whether
each bound holds, and the status is 1 where one does not.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # a robot on the same network hears nothing of it

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from node import IdleRuntime
from qdtrack.msg import TrackedDetectionArray
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from qdtrack_model.config import QuasiDenseConfig, from_mapping
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Array, Detections
from qdtrack_model.tracking import QuasiDenseTracker
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.replay.process import NodeProcess

NAMESPACE = "/qdtrack_bounds"
LOADING = 60.0  # seconds
PATIENCE = 60.0  # seconds until something is given up
FAULTY = 8.0  # seconds of images that inference fails or hangs at
FATAL, HANGING = 9, 13  # shades of grey
ANSWER, END, SUCCESSOR, DIAGNOSTICS = 0.2, 2.0, 5.0, 1.5  # the bounds [s]


class FailingRuntime(IdleRuntime):
    """Fails for ever from the first image on that is as dark as FATAL, and hangs at one as dark as HANGING."""

    def __init__(self) -> None:
        super().__init__(0.0, on_gpu=True)
        self._failed = False

    def infer(self, images: Array) -> list[Detections]:
        self._failed |= bool(images[0, 0, 0, 0] == FATAL)
        if self._failed:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if images[0, 0, 0, 0] == HANGING:
            time.sleep(LOADING)
        return super().infer(images)


def slow_pipeline(weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
    """What stands in for `Pipeline.load`; the weights "slow" take a minute that nothing can interrupt."""
    if weights == "slow":
        logging.getLogger("qdtrack_model.runtimes").info("building engine: 40 %")
        time.sleep(LOADING)
    return Pipeline(FailingRuntime(), QuasiDenseTracker(from_mapping(QuasiDenseConfig, tracker, "tracker")))


@contextmanager
def driver() -> Iterator[Node]:
    """A node that is spun in another thread."""
    rclpy.init()
    node = Node("driver", namespace=NAMESPACE)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException, ShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown(2.0)
        thread.join(2.0)
        rclpy.try_shutdown()


class Services:
    """The services of the tracker as a client sees them."""

    def __init__(self, node: Node, namespace: str, process: NodeProcess) -> None:
        names = {
            "state": (GetState, "get_state"),
            "transitions": (GetAvailableTransitions, "get_available_transitions"),
            "parameter": (GetParameters, "get_parameters"),
            "change": (ChangeState, "change_state"),
        }
        self._clients = {
            key: node.create_client(kind, f"{namespace}/tracker/{name}") for key, (kind, name) in names.items()
        }
        self._process = process
        for client in self._clients.values():
            process.wait(client.service_is_ready, "offer its services", PATIENCE)
        time.sleep(1.0)  # an answer is lost on a client that the node has not found yet

    def ask(self, name: str, request: Any) -> Any:
        """The answer to a request."""
        asked = self._clients[name].call_async(request)
        self._process.wait(asked.done, f"answer ({name})", PATIENCE)
        return asked.result()

    def send(self, request: Any) -> None:
        """Ask for a transition without waiting for the end of it."""
        self._clients["change"].call_async(request)

    def reach(self, state: int) -> None:
        """Wait until it is in a state."""
        while self.ask("state", GetState.Request()).current_state.id != state:
            time.sleep(0.01)


@contextmanager
def configuring(node: Node, folder: Path, name: str) -> Iterator[tuple[NodeProcess, Services]]:
    """The tracker in the middle of a long configure, in a namespace of its own: nothing is left of the one before."""
    namespace = f"{NAMESPACE}/{name}"
    with NodeProcess(node, namespace, {"weights": "slow"}, folder / "log", (__file__, "--node")) as process:
        services = Services(node, namespace, process)
        services.send(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE)))
        services.reach(State.TRANSITION_STATE_CONFIGURING)
        yield process, services


def answers(node: Node, folder: Path, seconds: float) -> Iterator[tuple[str, float, float]]:
    """What is asked for while it configures, the longest wait for it in seconds, and the bound of that."""
    told: list[float] = []
    requests = {
        "state": GetState.Request(),
        "transitions": GetAvailableTransitions.Request(),
        "parameter": GetParameters.Request(names=["weights"]),
    }
    waits: dict[str, list[float]] = {name: [] for name in requests}

    def heard(message: DiagnosticArray) -> None:
        if any("configuring" in status.message for status in message.status):
            told.append(time.monotonic())

    with configuring(node, folder, "answers") as (process, services):
        listening = node.create_subscription(DiagnosticArray, "/diagnostics", heard, 10)
        process.wait(lambda: bool(told), "tell that it configures", PATIENCE)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, request in requests.items():
                begin = time.monotonic()
                services.ask(name, request)
                waits[name].append(time.monotonic() - begin)
                time.sleep(0.1)
        node.destroy_subscription(listening)
    for name, taken in waits.items():
        yield f"configuring, {name}: the longest of {len(taken)} answers", max(taken), ANSWER
    yield "configuring, diagnostics: the longest pause", float(np.diff(told).max()), DIAGNOSTICS


def ends(node: Node, folder: Path) -> Iterator[tuple[str, float, float]]:
    """The ways to end it while it configures, the seconds that took, and the bound of them."""

    def signalled(number: signal.Signals) -> Callable[[Services, NodeProcess], None]:
        def end(services: Services, process: NodeProcess) -> None:
            process.signal(number)
            process.ended(PATIENCE)

        return end

    def shut_down(services: Services, process: NodeProcess) -> None:
        offered = services.ask("transitions", GetAvailableTransitions.Request()).available_transitions
        shutdown = next(one.transition for one in offered if one.transition.label == "shutdown")
        services.send(ChangeState.Request(transition=shutdown))
        services.reach(State.PRIMARY_STATE_FINALIZED)

    ways = {"SIGINT": signalled(signal.SIGINT), "SIGTERM": signalled(signal.SIGTERM), "shutdown": shut_down}
    for name, end in ways.items():
        with configuring(node, folder, name) as (process, services):
            time.sleep(1.0)
            begin = time.monotonic()
            end(services, process)
            yield f"configuring, {name}: until the end", time.monotonic() - begin, END


def fault(node: Node, folder: Path) -> Iterator[tuple[str, float, float]]:
    """A fault that ends the process, its successor, and diagnostics through others: seconds and their bounds."""
    namespace, tracks = f"{NAMESPACE}/fault", []
    images = node.create_publisher(Image, f"{namespace}/image", qos_profile_sensor_data)
    node.create_subscription(TrackedDetectionArray, f"{namespace}/tracker/tracks", tracks.append, 10)
    told: list[float] = []

    def heard(message: DiagnosticArray) -> None:
        if any(status.name.startswith(namespace.strip("/")) for status in message.status):
            told.append(time.monotonic())

    def show(shade: int, until: Callable[[], bool]) -> None:
        """Images 20 times a second."""
        image, end = np.full((360, 640, 3), shade, np.uint8), time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > end:
                raise TimeoutError(f"nothing came of images of grey {shade}")
            stamp = node.get_clock().now().to_msg()
            images.publish(image_message(image, Header(stamp=stamp, frame_id="camera")))
            time.sleep(0.05)

    @contextmanager
    def tracking(on_fault: str) -> Iterator[NodeProcess]:
        settings = {"weights": "idle", "on_fault": on_fault, "inference_timeout": 1.0}
        with NodeProcess(node, namespace, settings, folder / "log", (__file__, "--node")) as process:
            process.change_state("configure")
            process.change_state("activate")
            before = len(tracks)
            show(128, lambda: len(tracks) > before)
            yield process

    with tracking("exit") as process:
        begin = time.monotonic()
        show(FATAL, lambda: _gone(process))
        yield "a fault for ever, on_fault: exit: until the process has ended", time.monotonic() - begin, SUCCESSOR
    begin = time.monotonic()
    with tracking("exit"):
        yield "its successor: from its start to tracks", time.monotonic() - begin, SUCCESSOR
    node.create_subscription(DiagnosticArray, "/diagnostics", heard, 10)
    for name, shade in (("fails for ever", FATAL), ("hangs", HANGING)):
        with tracking("rebuild"):
            told.clear()
            end = time.monotonic() + FAULTY
            show(shade, lambda end=end: time.monotonic() > end)
            pauses = np.diff([*told, time.monotonic()])
            yield (
                f"inference {name}, diagnostics: the longest of {len(pauses)} pauses",
                float(pauses.max()),
                DIAGNOSTICS,
            )


def _gone(process: NodeProcess) -> bool:
    try:
        process.ended(0.0)
    except RuntimeError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long it is asked while it configures")
    args = parser.parse_args()
    held = True
    with driver() as node, tempfile.TemporaryDirectory() as folder:
        for rows in (answers(node, Path(folder), args.seconds), ends(node, Path(folder)), fault(node, Path(folder))):
            for name, seconds, bound in rows:
                held &= seconds < bound
                print(f"{name:62} {seconds:6.3f} s, {'holds' if seconds < bound else 'TOO LONG'}: {bound:g} s")
    return 0 if held else 1


if __name__ == "__main__":
    if "--node" in sys.argv:
        from qdtrack_ros.node import main as run_node

        sys.exit(run_node(sys.argv, slow_pipeline))
    sys.exit(main())
