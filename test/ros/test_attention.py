"""What the node looks at: classes with a least score, regions left out, a rate that is kept, and which GPU."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline
from graph import wait_until
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from test_node import Bench, header, walk

from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.conversions import image_message

ERROR = TransitionCallbackReturn.ERROR


@pytest.mark.parametrize(
    ("bench", "published"),
    [
        ({"classes": ["vehicle"]}, 0),
        ({"classes": ["pedestrian:0.95"]}, 0),
        ({"classes": ["vehicle", "pedestrian:0.9"]}, 2),
    ],
    indirect=["bench"],
)
def test_only_the_classes_that_are_asked_for_are_published(bench: Bench, published: int) -> None:
    """Both are pedestrians of 0.9."""
    bench.start()
    assert len(bench.send(walk(0), header(0)).tracks) == published
    assert bench.node._cameras[0].tracker.next_id == 2  # they were followed


def test_what_lies_in_an_ignored_region_is_not_tracked(tmp_path: Path) -> None:
    """The left one by a polygon, the right one by a picture of another size."""
    mask = np.full((36, 64), 255, np.uint8)
    mask[:, 40:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    from graph import running

    for ignore, place in (("0,90 300,90 300,200 0,200", 520), (str(tmp_path / "mask.png"), 60)):
        with running(Bench(ignore=[ignore])) as bench:
            bench.start()
            assert [track.center_x for track in bench.send(walk(0), header(0)).tracks] == [pytest.approx(place, abs=2)]
            assert bench.node._cameras[0].tracker.next_id == 1


@pytest.mark.parametrize("bench", [{"max_rate": 5.0}], indirect=True)
def test_a_rate_is_kept_by_the_stamps(bench: Bench) -> None:
    bench.start()
    for number in range(26):  # 25 a second
        bench.raw.publish(image_message(walk(number), header(number)))
        wait_until(lambda number=number: bench.counts.received == number + 1, "an image")
        wait_until(lambda: bench.counts.tracked + bench.counts.skipped == bench.counts.received, "its end")
    assert (bench.counts.tracked, bench.counts.skipped, bench.counts.dropped) == (6, 20, 0)
    assert [message.header for message in bench.tracks] == [header(number) for number in (0, 4, 9, 14, 19, 24)]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("classes", ["car"], "classes: got 'car', expected some of "),
        ("ignore", ["0,0 10,10"], "ignore: got '0,0 10,10', expected three corners or more"),
        ("gpu", 63, "gpu: got 63, but there is no such GPU"),
    ],
)
def test_what_cannot_be_used_is_told_when_it_is_configured(
    name: str, value: object, text: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))  # restored afterwards
    node = TrackerNode(blob_pipeline, parameter_overrides=[Parameter(name, value=value)])
    try:
        assert node.trigger_configure() == ERROR
        assert text in capfd.readouterr().err
    finally:
        node.close()
        node.destroy_node()
