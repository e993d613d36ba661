"""What goes wrong on a vehicle, over DDS between processes: the node lives on, and every header of it is right."""

from __future__ import annotations

import array
import itertools
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import picture
from driver import FRAME_ID, PERIOD
from graph import PATIENCE, spinning
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from qdtrack.msg import TrackedDetectionArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import SECOND, Rig, header, ids
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from qdtrack_model.sensors.encodings import ENCODINGS
from qdtrack_model.structures import Array
from qdtrack_ros.input.stamps import stamp_nanoseconds
from qdtrack_ros.replay.process import NodeProcess

HERE = Path(__file__).parent


def walk(number: int) -> Array:
    return picture((40 + 4 * (number % 100), 100, 40, 80, (40, 40, 250)))


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(tmp_path / "log", **getattr(request, "param", {}))
    with spinning(made.other):
        yield made


def resident(process: NodeProcess) -> float:
    """MB of memory that the node occupies."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def driver(rig: Rig, reliability: str, first: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, str(HERE / "driver.py"), f"{rig.namespace}/image/compressed", reliability, str(first)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def check_driven(message: TrackedDetectionArray, first: int) -> None:
    """The message tells of an image of a driver that began at ``first`` seconds."""
    assert message.header.frame_id == FRAME_ID
    assert (stamp_nanoseconds(message.header) - first * SECOND) % PERIOD == 0


@pytest.mark.parametrize("rig", [{"reliable": False}], indirect=True)
def test_a_camera_dies_and_returns_with_another_qos(rig: Rig) -> None:
    rig.other.destroy_publisher(rig.camera)
    rig.other.destroy_publisher(rig.jpeg)
    with rig.node() as process:

        def driven_from(first: int) -> list[TrackedDetectionArray]:
            return [message for message in rig.tracks if first <= message.header.stamp.sec < first + 1000]

        newest = -1
        for reliability, first in (("best_effort", 1000), ("reliable", 2000), ("best_effort", 3000)):
            with driver(rig, reliability, first) as camera:
                process.wait(lambda n=first: len(driven_from(n)) > 20, f"track a {reliability} camera", PATIENCE)
                camera.send_signal(signal.SIGKILL)  # DDS still counts on it for another 20 s
        for first in (1000, 2000, 3000):
            driven = driven_from(first)
            for message in driven:
                check_driven(message, first)
            stamps = [stamp_nanoseconds(message.header) for message in driven]
            assert stamps == sorted(set(stamps))
            found = {identity for message in driven for identity in ids(message)}
            assert len(found) == 1
            assert min(found) > newest, "an old id on what may be another object"
            newest = max(found)


def test_a_killed_node_is_replaced_without_a_word_from_the_camera(rig: Rig) -> None:
    for life in range(3):
        with subprocess.Popen(rig.command(), stderr=subprocess.DEVNULL) as process:
            try:
                for number in range(5):
                    message = rig.send(walk(number), header((100 + life) * SECOND + number * PERIOD), True)
                    assert len(message.tracks) == 1
            finally:
                process.kill()
        assert process.returncode == -signal.SIGKILL


def test_a_bag_that_loops_gives_new_ids_each_time(rig: Rig) -> None:
    with rig.node():
        loops = []
        for _ in range(3):
            loops.append([rig.send(walk(n), header(50 * SECOND + n * PERIOD), compressed=True) for n in range(30)])
    for loop in loops:
        assert len({frozenset(ids(message)) for message in loop}) == 1
        assert loop[0].tracks[0].age == 0.0
        assert loop[-1].tracks[0].age == pytest.approx(29 * PERIOD / SECOND)
    assert len({identity for loop in loops for message in loop for identity in ids(message)}) == 3


@pytest.mark.parametrize("rig", [{}, {"use_sim_time": True}], ids=["clock", "no clock"], indirect=True)
def test_clock_jumps(rig: Rig) -> None:
    hour = 3600 * SECOND
    with rig.node():
        seen: list[set[int]] = []
        for start in (2 * hour, 3 * hour, hour, hour + hour // 2):
            messages = [rig.send(walk(n), header(start + n * PERIOD), compressed=True) for n in range(4)]
            seen.append(set.union(*(ids(message) for message in messages)))
            assert messages[-1].tracks[0].age == pytest.approx(3 * PERIOD / SECOND)
    assert [len(one) for one in seen] == [1, 1, 1, 1]
    assert len(set.union(*seen)) == 4, "memory is a second: after every jump it is another object"


JPEG = cv2.imencode(".jpg", walk(0))[1].tobytes()
PNG = cv2.imencode(".png", walk(0))[1].tobytes()
NAMES = st.sampled_from([*ENCODINGS, "16UC1", "32FC1", "h264", "", "bgr9", "8UC17", "\u00e9", "x" * 300])
BYTES = st.one_of(st.binary(max_size=4096), st.integers(0, 1 << 18).map(bytes))
RAW = st.builds(
    lambda data, **fields: Image(data=array.array("B", data), **fields),
    data=BYTES,
    encoding=NAMES,
    width=st.one_of(st.integers(0, 700), st.integers(0, 2**32 - 1)),
    height=st.one_of(st.integers(0, 700), st.integers(0, 2**32 - 1)),
    step=st.one_of(st.integers(0, 2100), st.integers(0, 2**32 - 1)),
    is_bigendian=st.integers(0, 255),
)
CUT = st.tuples(st.sampled_from([JPEG, PNG]), st.integers(0, len(JPEG) - 3)).map(lambda pair: pair[0][: pair[1]])
FLIPPED = st.tuples(st.sampled_from([JPEG, PNG]), st.integers(0, 300), st.integers(0, 255)).map(
    lambda hit: hit[0][: hit[1]] + bytes([hit[2]]) + hit[0][hit[1] + 1 :]
)
COMPRESSED = st.builds(
    lambda data, format: CompressedImage(data=array.array("B", data), format=format),
    data=st.one_of(CUT, FLIPPED, BYTES),
    format=st.one_of(NAMES, st.sampled_from(["jpeg", "png", "bayer_rggb8; jpeg compressed", "16UC1; compressedDepth"])),
)


@pytest.mark.slow
@pytest.mark.parametrize("rig", [{"queue_size": 64}], indirect=True)
@pytest.mark.parametrize("messages", [RAW, COMPRESSED], ids=["raw", "compressed"])
def test_malformed_images_by_the_hundred(rig: Rig, messages: st.SearchStrategy[Image | CompressedImage]) -> None:
    compressed = messages is COMPRESSED
    numbers = itertools.count()
    sent = 0

    def next_header(frame_id: str) -> Header:
        return header(500 * SECOND + next(numbers) * PERIOD, frame_id)

    with rig.node() as process:

        @settings(
            max_examples=600, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(messages)
        def storm(message: Image | CompressedImage) -> None:
            nonlocal sent
            message.header = next_header("malformed")
            (rig.jpeg if compressed else rig.camera).publish(message)
            sent += 1
            if sent % 4 == 0:  # a good image between bad ones: when its tracks are there, nothing waits any more
                rig.send(walk(sent), next_header("rig"), compressed)

        rig.send(walk(0), next_header("rig"), compressed)
        before = resident(process)
        storm()
        assert len(rig.send(walk(0), next_header("rig"), compressed).tracks) == 1
        assert sent >= 600
        assert resident(process) - before < 64, "MB of growth"
        for message in rig.tracks:  # some are images by chance
            assert message.header.frame_id in ("rig", "malformed")
            assert (stamp_nanoseconds(message.header) - 500 * SECOND) % PERIOD == 0
        process.change_state("deactivate")
        counts = re.search(r"stopped: (\d+) images received, .* (\d+) dropped.* (\d+) unusable", process.last_lines())
        assert counts is not None
        received, dropped, unusable = map(int, counts.groups())
        assert received >= 600
        assert dropped == 0
        assert unusable > 500


def test_a_storm_of_parameters_leaves_tracking_and_the_last_good_values(rig: Rig) -> None:
    kinds = ParameterType
    values = [
        ("min_score", ParameterValue(type=kinds.PARAMETER_DOUBLE, double_value=0.1)),
        ("min_score", ParameterValue(type=kinds.PARAMETER_DOUBLE, double_value=float("nan"))),
        ("min_score", ParameterValue(type=kinds.PARAMETER_STRING, string_value="high")),
        ("min_score", ParameterValue()),
        ("overlay_trail", ParameterValue(type=kinds.PARAMETER_INTEGER, integer_value=-1)),
        ("publish_lost", ParameterValue(type=kinds.PARAMETER_BOOL, bool_value=True)),
        ("publish_embeddings", ParameterValue(type=kinds.PARAMETER_BOOL, bool_value=True)),
        ("publish_embeddings", ParameterValue(type=kinds.PARAMETER_BOOL, bool_value=False)),
        ("weights", ParameterValue(type=kinds.PARAMETER_STRING, string_value="broken")),
        ("cameras", ParameterValue(type=kinds.PARAMETER_STRING_ARRAY, string_array_value=["a", "b"])),
        ("tracker.memory_span", ParameterValue(type=kinds.PARAMETER_DOUBLE, double_value=9.0)),
        ("no_such_parameter", ParameterValue(type=kinds.PARAMETER_BOOL, bool_value=True)),
        ("use_sim_time", ParameterValue(type=kinds.PARAMETER_STRING, string_value="maybe")),
    ]
    good = {("min_score", 0), ("publish_lost", 5), ("publish_embeddings", 6), ("publish_embeddings", 7)}
    good |= {("tracker.memory_span", 10)}
    chance = random.Random(0)
    with rig.node() as process:
        client = rig.other.create_client(SetParameters, f"{rig.namespace}/tracker/set_parameters")
        process.wait(client.service_is_ready, "offer set_parameters", PATIENCE)
        for number in range(30):
            asked = [chance.randrange(len(values)) for _ in range(8)]  # DDS keeps ten requests waiting
            calls = []
            for place in asked:
                name, value = values[place]
                request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
                calls.append(client.call_async(request))
            # A raw image of this size would push the requests out of the transport's memory, for seconds.
            assert len(rig.send(walk(number), header(10 * SECOND + number * PERIOD), compressed=True).tracks) == 1
            process.wait(lambda calls=calls: all(call.done() for call in calls), "answer", PATIENCE)
            for place, call in zip(asked, calls, strict=True):
                answer = call.result().results[0]
                assert answer.successful == ((values[place][0], place) in good), (values[place], answer.reason)
                assert answer.successful or answer.reason
        rig.other.destroy_client(client)


TABLE = {  # state -> transition -> state after it
    State.PRIMARY_STATE_UNCONFIGURED: {Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE},
    State.PRIMARY_STATE_INACTIVE: {
        Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
        Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
    },
    State.PRIMARY_STATE_ACTIVE: {Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE},
}
WANTED = sorted({transition for row in TABLE.values() for transition in row})


def test_transitions_in_any_order_while_images_come(rig: Rig) -> None:
    chance = random.Random(1)
    with rig.node() as process, driver(rig, "reliable", 1000):
        change = rig.other.create_client(ChangeState, f"{rig.namespace}/tracker/change_state")
        watch = rig.other.create_client(GetState, f"{rig.namespace}/tracker/get_state")
        process.wait(lambda: change.service_is_ready() and watch.service_is_ready(), "offer its services", PATIENCE)
        state = State.PRIMARY_STATE_ACTIVE
        for _ in range(60):
            wanted = chance.choice(WANTED)
            request = ChangeState.Request()
            request.transition.id = wanted
            changed = change.call_async(request)
            process.wait(changed.done, "change its state", PATIENCE)
            allowed = wanted in TABLE[state]
            assert changed.result().success == allowed
            state = TABLE[state].get(wanted, state)
            asked = watch.call_async(GetState.Request())
            process.wait(asked.done, "tell its state", PATIENCE)
            assert asked.result().current_state.id == state
        for wanted in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request()
            request.transition.id = wanted
            process.wait(change.call_async(request).done, "get ready", PATIENCE)
        before = len(rig.tracks)
        process.wait(lambda: len(rig.tracks) > before + 5, "track again", PATIENCE)
        for message in rig.tracks:
            check_driven(message, 1000)
        rig.other.destroy_client(change)
        rig.other.destroy_client(watch)
