"""Ids are never given twice: a thousand resets, bags that loop and re-activations each, and new configures."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline, picture
from builtin_interfaces.msg import Time
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header

from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Tracks
from qdtrack_ros.camera_tracker import Delivered
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.conversions import image_message

SUCCESS = TransitionCallbackReturn.SUCCESS
PICTURE = picture((40, 100, 40, 80, (40, 40, 250)), (500, 120, 40, 80, (40, 250, 40)))


class Played:
    """A node whose images come by themselves, in the thread of the test; what it gives ids to is looked at.

    The network sees the picture once: it is the same all the time.
    """

    def __init__(self, **parameters: object) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = TrackerNode(blob_pipeline, parameter_overrides=overrides)
        self.stamp = 1000
        self._message = image_message(PICTURE, Header(frame_id="camera"))
        pipeline = blob_pipeline("blobs", Options(), {})
        [self._found] = pipeline.detect([PICTURE])
        self._timings = pipeline.timings

    def image(self) -> set[int]:
        """The next image's ids."""
        [camera] = self.node._cameras
        self._message.header.stamp = Time(sec=self.stamp)
        self.stamp += 1
        accepted = camera.accept(Delivered(camera, self._message, time.time_ns()), None)
        assert accepted is not None
        published: list[Tracks] = []
        camera.publishers.publish = lambda frame, options: published.append(frame.tracks)  # type: ignore[method-assign]
        accepted.timings.update(self._timings)  # of the network
        camera.finish(accepted, self._found, self.node._options)
        return set(published[0].ids.tolist())


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [{}, {"handover_span": 1.0}], ids=["one by one", "handover"])
def test_no_id_is_given_twice(parameters: dict[str, object]) -> None:
    played = Played(**parameters)
    node = played.node
    try:
        node.start()
        given: list[set[int]] = [played.image()]
        for number in range(1000):
            for camera in node._cameras:
                camera.reset()
            given.append(played.image())
            played.stamp -= 100  # the bag begins anew
            given.append(played.image())
            assert node.trigger_deactivate() == SUCCESS
            assert number % 100 or (node.trigger_cleanup() == SUCCESS and node.trigger_configure() == SUCCESS)
            assert node.trigger_activate() == SUCCESS
            given.append(played.image())
        assert all(len(ids) == 2 for ids in given)
        assert len(set.union(*given)) == 2 * len(given) > 4000
    finally:
        node.close()
        node.destroy_node()
