"""What was published and never came is counted."""

from __future__ import annotations

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from graph import wait_until
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from qdtrack_ros.input.losses import Losses
from qdtrack_ros.input.subscription import MatchedSubscription

ONE, OTHER = {"data": b"1"}, {"data": b"2"}


def info(publisher: object, number: int | None) -> dict[str, object]:
    return {"publisher_gid": publisher, "publication_sequence_number": number}


def test_gaps_in_the_numbers_of_each_publisher() -> None:
    lost: list[int] = []
    losses = Losses(lost.append)
    for publisher, number in ((ONE, 7), (ONE, 8), (OTHER, 100), (ONE, 9), (OTHER, 101), (ONE, 12), (OTHER, 103)):
        losses.received(info(publisher, number))
    assert lost == [2, 1]
    losses.reported(5)  # the numbers have told it already
    assert lost == [2, 1]


@pytest.mark.parametrize("told", [info(None, 5), info(ONE, None), {}])
def test_without_numbers_the_middleware_tells(told: dict[str, object]) -> None:
    lost: list[int] = []
    losses = Losses(lost.append)
    losses.received(told)
    losses.reported(5)
    assert lost == [5]


def test_images_that_nobody_fetched_in_time_are_counted() -> None:
    node, camera = Node("listener"), Node("camera")
    received: list[Image] = []
    lost: list[int] = []
    subscription = MatchedSubscription(node, Image, "busy/image", received.append, lost.append)
    images = camera.create_publisher(Image, "busy/image", 50)  # reliable
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def publish(number: int) -> None:
        images.publish(Image(width=number))

    def came(number: int) -> bool:
        executor.spin_once(0.01)
        return any(image.width == number for image in received)

    wait_until(lambda: images.get_subscription_count() == 1, "the subscription")
    publish(1)
    wait_until(lambda: came(1), "the first image")
    assert lost == []
    for number in range(2, 22):
        publish(number)
    wait_until(lambda: came(21), "the last image")
    assert len(received) + sum(lost) == 21
    assert sum(lost) > 10, "no more than five wait"
    subscription.close()
    executor.shutdown()
    node.destroy_node()
    camera.destroy_node()
