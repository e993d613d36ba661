"""Faults of the network in a node of its own process: it recovers, says what is wrong, and can always be ended."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from diagnostic_msgs.msg import DiagnosticStatus
from faulty import BREAK, END, HANG, PROGRAM, RAISE, STICK, order, walk
from graph import PATIENCE, spinning, wait_until
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from qdtrack.msg import TrackedDetectionArray
from rcl_interfaces.srv import GetParameters
from rig import SECOND, Rig, header, ids

from qdtrack_model.structures import Array
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.replay.process import NodeProcess

STEP = SECOND // 100  # many images pass before the memory of a second is over
FAULT_STATUS = 3


class FaultyRig(Rig):
    """The rig with a network that fails when it is asked to, and stamps that count up."""

    def __init__(self, log: Path, **parameters: object) -> None:
        super().__init__(log, program=PROGRAM, **parameters)
        self.log = log
        self._stamps = itertools.count(1000 * SECOND, STEP)

    def publish(self, image: Array) -> None:
        self.camera.publish(image_message(image, header(next(self._stamps))))

    def track(self) -> TrackedDetectionArray:
        """Good images until one of them is tracked."""
        before = len(self.tracks)

        def tracked() -> bool:
            self.publish(walk(0))
            return wait_a_little(lambda: len(self.tracks) > before)

        wait_until(tracked, "tracks")
        return self.tracks[-1]

    def fail(self, shade: int, text: str) -> None:
        """The image with an order, again and again until the log says ``text``."""

        def said() -> bool:
            self.publish(order(shade, walk(0)))
            return wait_a_little(lambda: text in self.log.read_text())

        wait_until(said, text)

    def status(self, text: str) -> DiagnosticStatus:
        """The next status of the node that says ``text``."""
        begin = len(self.statuses)
        wait_until(lambda: any(text in one.message for one in self.statuses[begin:]), f"diagnostics to say {text!r}")
        return next(one for one in self.statuses[begin:] if text in one.message)

    def state(self) -> int:
        client = self.other.create_client(GetState, f"{self.namespace}/tracker/get_state")
        wait_until(client.service_is_ready, "get_state")
        asked = client.call_async(GetState.Request())
        wait_until(asked.done, "the state")
        self.other.destroy_client(client)
        return int(asked.result().current_state.id)


def wait_a_little(condition: Callable[[], bool]) -> bool:
    """Until a condition holds, but not longer than an image takes as a rule; whether it holds."""
    end = time.monotonic() + 0.2
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FaultyRig]:
    made = FaultyRig(tmp_path / "log", **getattr(request, "param", {}))
    with spinning(made.other):
        yield made


def test_a_failure_costs_one_image(rig: FaultyRig) -> None:
    with rig.node() as process:
        before = ids(rig.track())
        rig.fail(RAISE, "image not tracked: RuntimeError: CUDA error")
        assert ids(rig.track()) == before
        process.change_state("deactivate")
        assert " failed" in process.last_lines() and " 0 unusable" in process.last_lines()
    assert "rebuil" not in rig.log.read_text()


@pytest.mark.parametrize("rig", [{"fault_limit": 3}], indirect=True)
def test_a_network_that_keeps_failing_is_rebuilt_and_the_tracks_go_on(rig: FaultyRig) -> None:
    with rig.node():
        first = rig.track()
        rig.fail(STICK, "inference failed 3 times in a row: RuntimeError: CUDA error")
        again = rig.track()
        assert ids(again) == ids(first)
        assert again.session == first.session
        wait_until(lambda: "the network works again" in rig.log.read_text(), "the log")
        assert rig.status("active: ").level == DiagnosticStatus.OK


@pytest.mark.parametrize("rig", [{"fault_limit": 2}], indirect=True)
def test_a_network_that_cannot_be_rebuilt_ends_in_the_error_state(rig: FaultyRig) -> None:
    with rig.node() as process:
        rig.track()
        rig.fail(BREAK, "it could not be rebuilt")
        wait_until(lambda: rig.state() == State.PRIMARY_STATE_UNCONFIGURED, "the error state to be left")
        status = rig.status("unconfigured: inference failed 2 times in a row: RuntimeError: CUDA error")
        assert status.level == DiagnosticStatus.ERROR
        process.check()


@pytest.mark.parametrize("rig", [{"fault_limit": 2, "on_fault": "exit"}], indirect=True)
def test_a_fault_can_end_the_process_and_its_successor_counts_anew(rig: FaultyRig) -> None:
    with rig.node() as process:
        first = rig.track()
        rig.fail(STICK, "ending with status 3")
        assert process.ended(PATIENCE) == FAULT_STATUS
    with rig.node():
        assert rig.track().session != first.session


@pytest.mark.parametrize("rig", [{"inference_timeout": 0.3}], indirect=True)
def test_a_hanging_inference_is_told_and_the_node_can_be_ended(rig: FaultyRig) -> None:
    with rig.node() as process:
        rig.track()
        rig.fail(HANG, "inference has not answered for")
        assert rig.status("longer than inference_timeout (0.3 s)").level == DiagnosticStatus.ERROR
        assert rig.state() == State.PRIMARY_STATE_ACTIVE
        process.signal(signal.SIGTERM)
        assert process.ended(PATIENCE) == 0


@pytest.mark.parametrize("rig", [{"inference_timeout": 0.3, "on_fault": "exit"}], indirect=True)
def test_a_hanging_inference_can_end_the_process(rig: FaultyRig) -> None:
    with rig.node() as process:
        rig.track()
        rig.fail(HANG, "ending with status 3")
        assert process.ended(PATIENCE) == FAULT_STATUS


def test_a_deactivation_leaves_a_hanging_inference_behind(rig: FaultyRig) -> None:
    with rig.node() as process:
        rig.track()
        rig.publish(order(HANG, walk(0)))
        client = rig.other.create_client(ChangeState, f"{rig.namespace}/tracker/change_state")
        wait_until(client.service_is_ready, "change_state")
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_DEACTIVATE
        asked = client.call_async(request)
        wait_until(asked.done, "the answer")
        rig.other.destroy_client(client)
        if not asked.result().success:  # else the image with the order was dropped for the end
            assert rig.state() == State.PRIMARY_STATE_UNCONFIGURED
            assert rig.status("inference did not end within").level == DiagnosticStatus.ERROR
        process.check()


def test_a_thread_that_ended_is_noticed(rig: FaultyRig) -> None:
    with rig.node() as process:
        rig.track()
        rig.publish(order(END, walk(0)))
        status = rig.status("the thread that tracks has ended")
        assert (status.level, status.message.split(":")[0]) == (DiagnosticStatus.ERROR, "unconfigured")
        process.change_state("configure")
        process.change_state("activate")
        rig.track()


# ---- a configure that takes a minute


def configuring(rig: FaultyRig, process: NodeProcess) -> None:
    """The node is told to configure, and says how far it is."""
    client = rig.other.create_client(ChangeState, f"{rig.namespace}/tracker/change_state")
    process.wait(client.service_is_ready, "offer change_state", PATIENCE)
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CONFIGURE
    client.call_async(request)
    status = rig.status("configuring: building engine: 40 %")
    assert status.level == DiagnosticStatus.WARN
    assert rig.state() == State.TRANSITION_STATE_CONFIGURING


@pytest.mark.parametrize("rig", [{"weights": "slow"}], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_long_configure(rig: FaultyRig, number: signal.Signals) -> None:
    with rig.process() as process:
        configuring(rig, process)
        process.signal(number)
        assert process.ended(PATIENCE) == 0
    assert "loaded slow" not in rig.log.read_text()


@pytest.mark.parametrize("rig", [{"weights": "slow"}], indirect=True)
def test_everything_answers_during_a_long_configure_and_shutdown_ends_it(rig: FaultyRig) -> None:
    with rig.process() as process:
        configuring(rig, process)
        rig.status("s so far")  # again, and again
        parameters = rig.other.create_client(GetParameters, f"{rig.namespace}/tracker/get_parameters")
        told = rig.other.create_client(GetAvailableTransitions, f"{rig.namespace}/tracker/get_available_transitions")
        change = rig.other.create_client(ChangeState, f"{rig.namespace}/tracker/change_state")
        for client in (parameters, told, change):
            process.wait(client.service_is_ready, "offer its services", PATIENCE)
        values = parameters.call_async(GetParameters.Request(names=["weights"]))
        wait_until(values.done, "the parameter")
        assert values.result().values[0].string_value == "slow"
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_ACTIVATE
        refused = change.call_async(request)
        wait_until(refused.done, "the refusal")
        assert not refused.result().success
        transitions = told.call_async(GetAvailableTransitions.Request())
        wait_until(transitions.done, "the transitions")
        labels = {one.transition.label: one.transition for one in transitions.result().available_transitions}
        change.call_async(ChangeState.Request(transition=labels["shutdown"]))  # as `ros2 lifecycle set` does
        wait_until(lambda: rig.state() == State.PRIMARY_STATE_FINALIZED, "the end")
        assert "loaded slow" not in rig.log.read_text()
        process.signal(signal.SIGINT)
        assert process.ended(PATIENCE) == 0


def test_the_process_ends_as_it_was_told_without_any_fault(rig: FaultyRig) -> None:
    with rig.node() as process:
        rig.track()
        process.signal(signal.SIGTERM)
        assert process.ended(PATIENCE) == 0
    assert "still" not in rig.log.read_text()


def test_a_node_that_starts_itself_can_be_ended_at_any_time(rig: FaultyRig) -> None:
    with subprocess.Popen([*rig.command(), "-p", "weights:=slow"], stderr=subprocess.DEVNULL) as process:
        try:
            rig.status("configuring: building engine: 40 %")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
