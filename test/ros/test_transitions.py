"""What a managed node needs of its executor; its transitions are tested in test_states.py and test_node.py."""

from __future__ import annotations

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from rclpy.node import Node
from std_msgs.msg import Header

from qdtrack_ros.transitions import Executor


def test_what_goes_as_it_is_about_to_be_waited_for_ends_nothing(context: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another thread may destroy it at that moment."""
    node, executor, served = Node("busy"), Executor(), []
    executor.add_node(node)
    subscription = node.create_subscription(Header, "anything", print, 10)
    can_execute = executor.can_execute

    def gone_by_now(entity: object) -> bool:
        if entity in subscription.event_handlers and subscription in node.subscriptions:
            node.destroy_subscription(subscription)
        return can_execute(entity)  # type: ignore[arg-type]

    monkeypatch.setattr(executor, "can_execute", gone_by_now)
    executor.spin_once(0.0)
    assert subscription not in node.subscriptions
    guard = node.create_guard_condition(lambda: served.append(True))
    guard.trigger()
    executor.spin_once(0.0)
    assert served == [True]
    executor.shutdown()
    node.destroy_node()
