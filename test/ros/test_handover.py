"""Identity across cameras, over DDS: rectangles of one colour that leave one camera and enter the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline, picture
from builtin_interfaces.msg import Time
from graph import running, wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.conversions import image_message

RED, GREEN, BLUE = (40, 40, 250), (40, 250, 40), (250, 40, 40)
PINK = (120, 40, 250)  # cosine 0.9 with red
NAMES = ("front", "left")


class Bench:
    """A node of two cameras whose trackers forget after a second."""

    def __init__(self, **parameters: Any) -> None:
        values = {"cameras": list(NAMES), "handover_span": 3.0, "publish_lost": True, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = TrackerNode(blob_pipeline, parameter_overrides=overrides)
        self.other = Node("drivers")
        self._images = {n: self.other.create_publisher(Image, f"{n}/image", qos_profile_sensor_data) for n in NAMES}
        self._tracks: dict[str, list[TrackedDetectionArray]] = {name: [] for name in NAMES}
        for name, kept in self._tracks.items():
            self.other.create_subscription(TrackedDetectionArray, f"tracker/{name}/tracks", kept.append, 100)

    def start(self) -> None:
        self.node.start()
        wait_until(lambda: all(one.get_subscription_count() == 1 for one in self._images.values()), "subscriptions")
        outputs = [one for one in self.node.publishers if one.topic_name.endswith("/tracks")]
        wait_until(lambda: all(one.get_subscription_count() == 1 for one in outputs), "listeners")

    def see(self, camera: str, seconds: float, *colours: tuple[int, int, int]) -> dict[tuple[int, int, int], int]:
        """An image with rectangles of these colours; the id of each."""
        places = {100 * (1 + place): colour for place, colour in enumerate(colours)}
        image = picture(*((x, 100, 40, 80, colour) for x, colour in places.items()))
        stamp = Time(sec=1000 + int(seconds), nanosec=round(seconds % 1 * 1e9))
        kept = self._tracks[camera]
        count = len(kept)
        self._images[camera].publish(image_message(image, Header(stamp=stamp, frame_id=camera)))
        wait_until(lambda: len(kept) > count, f"tracks of {camera}")
        ids = [track.id for track in kept[-1].tracks]
        assert len(set(ids)) == len(ids)
        seen = [track for track in kept[-1].tracks if track.state != track.LOST]
        return {places[round(track.center_x - 20, -2)]: track.id for track in seen}


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with running(Bench(**getattr(request, "param", {}))) as made:
        made.start()
        yield made


def test_who_leaves_one_camera_and_enters_the_other_keeps_the_id(bench: Bench) -> None:
    assert bench.see("front", 0.0, RED, GREEN) == {RED: 0, GREEN: 1}
    assert bench.see("left", 0.0, BLUE) == {BLUE: 2}
    assert bench.see("front", 0.1, GREEN) == {GREEN: 1}
    assert bench.see("left", 0.2, BLUE, RED) == {BLUE: 2, RED: 0}
    assert bench.see("front", 0.3) == {}
    assert bench.see("left", 2.5, RED, GREEN) == {RED: 3, GREEN: 1}  # red comes back to the camera that forgot it
    assert bench.see("front", 9.0, GREEN) == {GREEN: 4}  # too late


def test_who_is_seen_by_both_has_two_ids(bench: Bench) -> None:
    assert bench.see("front", 0.0, RED) == {RED: 0}
    assert bench.see("left", 0.0, RED) == {RED: 1}
    assert bench.see("front", 0.1) == {}
    assert bench.see("left", 0.1, RED) == {RED: 1}


def test_a_clock_set_back_clears_what_that_camera_saw(bench: Bench) -> None:
    bench.see("front", 5.0, RED, GREEN)
    bench.see("left", 5.0, BLUE)
    assert bench.see("front", 3.0, RED) == {RED: 3}
    assert bench.see("left", 6.5, GREEN) == {GREEN: 4}


def test_a_reset_clears_what_that_camera_saw(bench: Bench) -> None:
    bench.see("front", 0.0, RED, GREEN)
    bench.see("left", 0.0, BLUE)
    bench.see("front", 0.1)
    front = next(camera for camera in bench.node._cameras if camera.name == "front")
    front.reset()
    assert bench.see("left", 0.2, BLUE, RED) == {BLUE: 2, RED: 3}
    assert bench.see("front", 0.3, GREEN) == {GREEN: 4}


@pytest.mark.parametrize(
    ("bench", "expected"), [({"handover_score": 0.95}, 1), ({"handover_score": 0.8}, 0)], indirect=["bench"]
)
def test_the_score_decides(bench: Bench, expected: int) -> None:
    bench.see("front", 0.0, RED)
    bench.see("front", 0.1)
    assert bench.see("left", 0.2, PINK) == {PINK: expected}


@pytest.mark.parametrize("bench", [{"handover_span": 0}], indirect=True)
def test_without_a_span_every_camera_counts_for_itself(bench: Bench) -> None:
    assert bench.see("front", 0.0, RED, GREEN) == {RED: 0, GREEN: 1}
    assert bench.see("left", 0.0, BLUE) == {BLUE: 0}
