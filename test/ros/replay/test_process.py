"""The node as its own process: a bag's worth of images over DDS at camera rate, and a failure that is explained."""

from __future__ import annotations

import array
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import PROGRAM, picture
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from graph import PATIENCE, spinning, wait_until
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from qdtrack_ros.replay.player import Player, header_stamp
from qdtrack_ros.replay.process import NodeError, NodeProcess
from qdtrack_ros.replay.recorder import Recorder

COMPRESSED = "sensor_msgs/msg/CompressedImage"
START = 1_700_000_000_000_000_000


def records(count: int) -> list[tuple[str, str, int, bytes]]:
    made = []
    for number in range(count):
        stamp = START + number * 40_000_000
        image = picture((40 + 4 * number, 100, 40, 80, (40, 40, 250)))
        header = Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id="camera")
        data = array.array("B", cv2.imencode(".jpg", image)[1].tobytes())
        message = CompressedImage(header=header, format="jpeg", data=data)
        made.append(("/camera", COMPRESSED, stamp, serialize_message(message)))
    return made


def test_header_stamp_is_read_from_the_bytes() -> None:
    assert header_stamp(records(2)[1][3]) == START + 40_000_000


def test_every_image_comes_back_with_its_stamp(tmp_path: Path) -> None:
    node = Node("driver")
    recorder = Recorder(node, "/alone/tracker")
    player = Player(node, {"/camera": ("/alone/image/compressed", COMPRESSED)})
    # Reliable from the start: the node would find out by itself and subscribe anew, with images on their way. And
    # queues for all of them: on a busy machine this is about stamps all the same.
    qos = {"reliability": "reliable", "depth": 64}
    overrides = {f"qos_overrides./alone/image/compressed.subscription.{key}": value for key, value in qos.items()}
    parameters = {"weights": "blobs", "queue_size": 64, **overrides}
    with spinning(node), NodeProcess(node, "/alone", parameters, tmp_path / "log", PROGRAM) as process:
        process.change_state("configure")
        process.change_state("activate")
        process.wait(lambda: player.connected and recorder.connected, "connect", PATIENCE)
        sent = [one.stamp for one in player.play(records(50))]
        wait_until(lambda: len(recorder.received) >= 50, "the tracks of all images")
        process.change_state("deactivate")
    assert sorted(recorder.received) == sent
    ids = {int(identity) for one in recorder.received.values() for identity in one.tracks.ids}
    assert ids == {0}
    assert recorder.classes == {0: "pedestrian"}
    assert "50 images received, 50 tracked, 0 dropped" in (tmp_path / "log").read_text()


def test_a_failing_configure_tells_why(tmp_path: Path) -> None:
    node = Node("driver")
    with (
        spinning(node),
        NodeProcess(node, "/alone", {"weights": "broken"}, tmp_path / "log", PROGRAM) as process,
        pytest.raises(NodeError, match=r"could not configure:(.|\n)*broken: not a weights file"),
    ):
        process.change_state("configure")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-p", "min_score:=7.5"], "min_score: got 7.5, expected 0 to 1"),
        (["--params-file", "/no/such.yaml"], "failed to initialize rcl: Couldn't parse params file"),
        (["-r", "__ns:=/front camera"], "failed to initialize rcl: Couldn't parse remap rule"),
    ],
)
def test_a_bad_start_is_one_line_and_status_2(arguments: list[str], text: str) -> None:
    command = [sys.executable, *PROGRAM, "--ros-args", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "[rcl]" not in line]  # rcl logs on its own account
    assert len(lines) == 1
    assert lines[0].startswith(f"tracker_node: error: {text}")


def shared_memory(process: int) -> set[Path]:
    """The segments of shared memory that a process uses; those named port belong to whoever listens too."""
    maps = Path(f"/proc/{process}/maps").read_text()
    return {Path(path) for path in re.findall(r"/dev/shm/fast\w+", maps) if "port" not in path}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_autostart_and_a_clean_end(tmp_path: Path, ending: signal.Signals) -> None:
    log = tmp_path / "log"
    others = shared_memory(os.getpid())  # which the node reads, too
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *PROGRAM], stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: "active: waiting for images on /image or /image/compressed" in log.read_text(), "start")
            if "fastrtps" in get_rmw_implementation_identifier():
                wait_until(lambda: bool(shared_memory(process.pid) - others), "shared memory of its own")
            shared = shared_memory(process.pid) - others
            # Again and again: launch may pass Ctrl-C on to processes that have it from the terminal already.
            wait_until(lambda: process.poll() is not None or process.send_signal(ending), "the end")
            assert process.returncode == 0
        finally:
            process.kill()
    assert not [path for path in shared if path.exists()]
    text = log.read_text()
    assert "stopped: 0 images received" in text
    assert "Traceback" not in text
    assert "Failed to publish" not in text


FAULTY = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from blobs import blob_pipeline
from qdtrack_ros import node
node.TrackerNode._watch = lambda self: 1 / 0
sys.exit(node.main(pipeline_factory=blob_pipeline))
"""


def test_a_fault_in_a_callback_is_told_and_the_node_goes_on(tmp_path: Path) -> None:
    other = Node("driver")
    recorder = Recorder(other, "/tracker")
    log = tmp_path / "log"
    with spinning(other), log.open("wb") as output:
        player = Player(other, {"/camera": ("/image/compressed", COMPRESSED)})
        command = [sys.executable, "-c", FAULTY, str(Path(PROGRAM[0]).parent)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: "a callback failed: ZeroDivisionError: division by zero" in log.read_text(), "the fault")
            wait_until(lambda: player.connected and recorder.connected, "the node")

            def tracked() -> bool:  # not at once: the two ends of a connection find each other one after the other
                for _ in player.play(records(10)):
                    pass
                return recorder.received != {}

            wait_until(tracked, "tracks")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert log.read_text().count("a callback failed") < 4


def test_silence_is_explained_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    other = Node("driver")
    other.create_publisher(CompressedImage, "/front/image_color/compressed", 1)
    other.create_publisher(CompressedImage, "/image", 1)  # the wrong type
    told: list[DiagnosticArray] = []  # whenever the node has looked after its camera
    other.create_subscription(DiagnosticArray, "/diagnostics", told.append, 10)
    # Long enough to have discovered the publishers: participants that missed each other try again every three seconds.
    command = [sys.executable, *PROGRAM, "--ros-args", "-p", "silence_warning:=7.0"]
    with spinning(other), log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: "no image for" in log.read_text(), "the warning")
            before = len(told)
            wait_until(lambda: len(told) >= before + 4, "four more looks")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
    text = log.read_text()
    assert text.count("no image for") == 1
    assert "/image carries sensor_msgs/msg/CompressedImage instead of sensor_msgs/msg/Image" in text
    assert "/image/compressed has no publisher" in text
    assert "image topics seen: /front/image_color/compressed (remap with" in text
