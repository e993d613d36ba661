"""The node's states in any order: what is allowed succeeds, all else changes nothing, and nothing is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import BlobRuntime, blob_pipeline, picture
from builtin_interfaces.msg import Time
from graph import spinning, wait_until
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from lifecycle_msgs.msg import State
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.transitions import Executor

SUCCESS, ERROR = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.ERROR
UNCONFIGURED, INACTIVE = State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE
ACTIVE, FINALIZED = State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_FINALIZED


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "qdtrack-worker"]


class States(RuleBasedStateMachine):
    """Transitions, images and a weights file that may be broken, one after the other as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.runtimes: list[BlobRuntime] = []
        self.node = TrackerNode(self._pipeline, parameter_overrides=[Parameter("weights", value="blobs")])
        self.other = Node("bench")
        self.images = self.other.create_publisher(Image, "image", qos_profile_sensor_data)
        self.executor = Executor()
        self.executor.add_node(self.node)
        self.state = UNCONFIGURED
        self.sent = 0
        self.bare = self._held()

    def teardown(self) -> None:
        self.node.close()
        self.executor.shutdown(2.0)
        self.node.destroy_node()
        self.other.destroy_node()
        assert workers() == []
        assert all(runtime.closed for runtime in self.runtimes)

    def _pipeline(self, weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
        pipeline = blob_pipeline(weights, options, tracker)
        assert isinstance(pipeline.runtime, BlobRuntime)
        self.runtimes.append(pipeline.runtime)
        return pipeline

    def _held(self) -> tuple[int, int]:
        """How many subscriptions and publishers the node has."""
        return len(list(self.node.subscriptions)), len(list(self.node.publishers))

    def _try(self, transition: str, allowed_in: int, leads_to: int) -> None:
        result = getattr(self.node, f"trigger_{transition}")()
        assert (result == SUCCESS) == (self.state == allowed_in), (transition, self.state)
        if self.state == allowed_in:
            self.state = leads_to

    @rule()
    def configure(self) -> None:
        broken = self.node.get_parameter("weights").value == "broken"
        if broken and self.state == UNCONFIGURED:
            assert self.node.trigger_configure() == ERROR
        else:
            self._try("configure", UNCONFIGURED, INACTIVE)

    @rule()
    def activate(self) -> None:
        self._try("activate", INACTIVE, ACTIVE)

    @rule()
    def deactivate(self) -> None:
        self._try("deactivate", ACTIVE, INACTIVE)

    @rule()
    def cleanup(self) -> None:
        self._try("cleanup", INACTIVE, UNCONFIGURED)

    @precondition(lambda self: self.sent > 3 and self.state != FINALIZED)  # late: nothing follows it
    @rule()
    def shut_down(self) -> None:
        assert self.node.trigger_shutdown() == SUCCESS
        self.state = FINALIZED

    @rule()
    def change_weights(self) -> None:
        other = "blobs" if self.node.get_parameter("weights").value == "broken" else "broken"
        result = self.node.set_parameters([Parameter("weights", value=other)])[0]
        assert result.successful == (self.state in (UNCONFIGURED, FINALIZED))

    @rule()
    def send(self) -> None:
        self.sent += 1
        stamp = Time(sec=self.sent)
        message = image_message(picture((40, 100, 40, 80, (40, 40, 250))), Header(stamp=stamp, frame_id="camera"))
        if self.state != ACTIVE:
            self.images.publish(message)
            self.executor.spin_once(0.0)
            return
        counts = self.node._cameras[0].monitor.counts
        before = counts.tracked

        def tracked() -> bool:
            self.images.publish(message)  # not only once: the node may not have been connected
            for _ in range(5):
                self.executor.spin_once(0.01)
            return counts.tracked > before

        wait_until(tracked, "an image to be tracked")

    @invariant()
    def it_is_in_the_state_it_says(self) -> None:
        assert self.node._state_machine.current_state[0] == self.state

    @invariant()
    def it_holds_what_its_state_needs_and_no_more(self) -> None:
        assert workers() == ["qdtrack-worker"] * (self.state == ACTIVE)
        configured = self.state in (INACTIVE, ACTIVE)
        assert [runtime for runtime in self.runtimes if not runtime.closed] == self.runtimes[-1:] * configured
        subscriptions, publishers = self._held()
        assert (subscriptions > self.bare[0]) == (self.state == ACTIVE)
        assert (publishers > self.bare[1]) == configured


TestStates = States.TestCase
TestStates.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def unusable() -> Iterator[TrackerNode]:
    """A node that configures, but cannot subscribe."""
    override = Parameter("qos_overrides./image.subscription.reliability", value="perhaps")
    node = TrackerNode(blob_pipeline, parameter_overrides=[override])
    with spinning(node):
        yield node
        node.close()


def test_an_activation_that_fails_leaves_no_half_alive_node(
    unusable: TrackerNode, capfd: pytest.CaptureFixture[str]
) -> None:
    assert unusable.trigger_configure() == SUCCESS
    assert unusable.trigger_activate() == ERROR
    assert unusable._state_machine.current_state[0] == UNCONFIGURED
    assert workers() == []
    assert unusable._network is None
    assert "activate failed: " in capfd.readouterr().err
