"""What diagnostics say of given values: the level, the threshold crossed and by what, the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSProfile, qos_profile_sensor_data

from qdtrack_ros.operation.judgement import (
    ERROR,
    OK,
    WARN,
    CameraReading,
    Limits,
    NodeReading,
    camera_status,
    node_status,
)
from qdtrack_ros.operation.monitor import STAGES, Counts, Recent

LIMITS = Limits(min_rate=10, max_age=0.5, max_drop_ratio=0.1, silence_warning=5)
NEVER = Limits(min_rate=0, max_age=0, max_drop_ratio=0, silence_warning=0)
RECENT = Recent(
    received_rate=25.0,
    tracked_rate=24.6,
    received=125,
    lost=0,
    dropped=2,
    unusable=0,
    failed=0,
    without_depth=0,
    without_transform=0,
)
READING = CameraReading(
    listening={"/front/image": qos_profile_sensor_data},
    delivering="image",
    publishers=1,
    incompatible=[],
    silence=0.02,
    silence_reason="",
    counts=Counts(received=125, dropped=2, tracked=123),
    recent=RECENT,
    unusable="",
    failure="",
    queue=1,
    seen=3,
    remembered=2,
    ages=(0.0314, 0.0501),
    stages={name: (0.001 * number, 0.002 * number) for number, name in enumerate(STAGES)},
)
NODE = NodeReading(
    state="active", failure="", progress="", trouble="", weights="street", runtime="onnxruntime",
    device="cpu, 2 threads, fp32", network_memory=80_000_000, resident_memory=300_000_000, gpu_memory=None,
)  # fmt: skip


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_a_camera_that_fares_well() -> None:
    status = camera_status("tracker: front", READING, "active", LIMITS)
    assert (status.level, status.name, status.message) == (OK, "tracker: front", "24.6 images/s tracked")
    assert status.hardware_id == "tracker"
    assert values(status) == {
        "topic": "/front/image", "transport": "raw", "QoS": "best effort, volatile, keep last 5", "publishers": "1",
        "incompatible QoS": "none", "silence [s]": "0.0", "rate in [1/s]": "25.0", "rate out [1/s]": "24.6",
        "received": "125", "lost": "0", "skipped": "0", "dropped": "2", "repeated": "0", "late": "0",
        "unusable": "0", "failed": "0",
        "tracked": "123", "not drawn": "0", "without depth": "0", "missing transforms": "0", "late transforms": "0",
        "without motion": "0", "interruptions": "0",
        "queue": "1", "tracks": "3", "remembered tracks": "2",
        "age at publish p50 [ms]": "31.4", "age at publish p95 [ms]": "50.1",
        "wait p50 [ms]": "0.0", "wait p95 [ms]": "0.0", "decode p50 [ms]": "1.0", "decode p95 [ms]": "2.0",
        "preprocess p50 [ms]": "2.0", "preprocess p95 [ms]": "4.0", "network p50 [ms]": "3.0",
        "network p95 [ms]": "6.0",
        "track p50 [ms]": "4.0", "track p95 [ms]": "8.0", "publish p50 [ms]": "5.0", "publish p95 [ms]": "10.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        (
            {"recent": replace(RECENT, tracked_rate=9.9)}, WARN,
            "9.9 images/s tracked, less than diagnostics.min_rate (10)",
        ),
        (
            {"recent": replace(RECENT, dropped=50)}, WARN,
            "0.40 of the images dropped, more than diagnostics.max_drop_ratio (0.1)",
        ),
        (
            {"recent": replace(RECENT, tracked_rate=0.0, skipped=125)}, WARN,
            "0.0 images/s tracked, less than diagnostics.min_rate (10)",
        ),
        ({"recent": replace(RECENT, tracked_rate=0.0, skipped=124)}, ERROR, "none of the last 125 images was tracked"),
        ({"recent": replace(RECENT, dropped=12)}, OK, "24.6 images/s tracked"),
        (
            {"ages": (0.2, 0.61)}, WARN,
            "5 % of tracks older than 0.610 s when published, more than diagnostics.max_age (0.5 s)",
        ),
        ({"ages": (1e8, 1e8)}, WARN, "the stamps are of another clock (bags: ros2 bag play --clock, and use_sim_time)"),
        ({"ages": None}, OK, "24.6 images/s tracked"),
        (
            {"recent": replace(RECENT, unusable=5), "unusable": "image not used: truncated JPEG"}, WARN,
            "5 of the last 125 images unusable: image not used: truncated JPEG",
        ),
        (
            {"recent": replace(RECENT, without_depth=7)}, WARN,
            "7 of the last 125 images had no depth: the log says why",
        ),
        (
            {"recent": replace(RECENT, without_transform=7)}, WARN,
            "7 of the last 125 images had no transform to the frame that was asked for: the log says why",
        ),
        (
            {"recent": replace(RECENT, tracked_rate=0, unusable=125), "unusable": "refused"}, ERROR,
            "none of the last 125 images was tracked; 125 of the last 125 images unusable: refused",
        ),
        (
            {"incompatible": ["/front/image: Best effort publisher and reliable subscription"]}, ERROR,
            "incompatible QoS, /front/image: Best effort publisher and reliable subscription",
        ),
        (
            {"silence": 6.2, "silence_reason": "/front/image has no publisher"}, ERROR,
            "no image for 6 s, longer than silence_warning (5 s): /front/image has no publisher",
        ),
        (
            {"recent": replace(RECENT, failed=5), "failure": "image not tracked: RuntimeError: CUDA error"}, WARN,
            "5 of the last 125 images failed: image not tracked: RuntimeError: CUDA error",
        ),
        (
            {"recent": replace(RECENT, lost=125)}, WARN,
            "0.50 of the images lost between publisher and node, more than diagnostics.max_drop_ratio (0.1)",
        ),
        ({"recent": replace(RECENT, lost=2)}, OK, "24.6 images/s tracked"),
        ({"counts": Counts(), "recent": None, "silence": 1.0}, WARN, "no image for 1 s"),
        ({"recent": Recent(0.0, 0.0, 0, 0, 0, 0, 0, 0, 0), "silence": 4.6}, WARN, "no image for 5 s"),
        ({"recent": None}, OK, "images begin to come"),
    ],
)  # fmt: skip
def test_every_problem_is_told_with_its_threshold(changes: dict[str, Any], level: bytes, text: str) -> None:
    status = camera_status("tracker: front", replace(READING, **changes), "active", LIMITS)
    assert status.level == level
    assert status.message.endswith(text)


def test_the_worst_problem_gives_the_level_and_all_are_told() -> None:
    recent = replace(RECENT, tracked_rate=5.0, dropped=100)
    reading = replace(READING, recent=recent, ages=(1.0, 2.0), incompatible=["/front/image: reliability"])
    status = camera_status("tracker: front", reading, "active", LIMITS)
    assert status.level == ERROR
    parts = [part.split(",")[0] for part in status.message.split("; ")]
    assert parts == ["incompatible QoS", "5.0 images/s tracked", "0.80 of the images dropped",
                     "5 % of tracks older than 2.000 s when published"]  # fmt: skip


def test_thresholds_of_zero_are_never_crossed() -> None:
    reading = replace(READING, recent=replace(RECENT, tracked_rate=0.1, dropped=124), ages=(1e9, 1e9), silence=1e6)
    assert camera_status("tracker: front", reading, "active", NEVER).level == OK


def test_both_topics_while_none_delivers() -> None:
    listening = {"/image": qos_profile_sensor_data, "/image/compressed": QoSProfile(depth=5)}
    status = camera_status("tracker: camera", replace(READING, listening=listening, delivering=None), "active", LIMITS)
    held = values(status)
    assert held["topic"] == "/image or /image/compressed"
    assert status.hardware_id == "tracker", "the same whatever topic delivers"
    assert held["transport"] == "none yet"
    assert held["QoS"] == "best effort, volatile, keep last 5 or reliable, volatile, keep last 5"


def test_a_camera_of_a_node_that_does_not_track_is_no_error() -> None:
    status = camera_status("tracker: front", None, "inactive", LIMITS)
    assert (status.level, status.message, status.values) == (OK, "not tracking: the node is inactive", [])


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({}, OK, "active: street in onnxruntime"),
        ({"state": "inactive"}, WARN, "inactive: not tracking"),
        (
            {"state": "unconfigured", "failure": "configure failed: no such weights"}, ERROR,
            "unconfigured: configure failed: no such weights",
        ),
        (
            {"state": "configuring", "progress": "building engine: 40 %; 120 s so far"}, WARN,
            "configuring: building engine: 40 %; 120 s so far",
        ),
        (
            {"trouble": "the network is being rebuilt: inference failed 5 times in a row"}, ERROR,
            "active: the network is being rebuilt: inference failed 5 times in a row",
        ),
    ],
)  # fmt: skip
def test_the_node(changes: dict[str, Any], level: bytes, text: str) -> None:
    status = node_status("tracker: node", replace(NODE, **changes))
    assert (status.level, status.message, status.hardware_id) == (level, text, "tracker")
    assert values(status)["last failed transition"] == changes.get("failure", "none")
    assert values(status)["resident memory [MB]"] == "300"
    assert "GPU memory [MB]" not in values(status)


def test_memory_of_the_gpu() -> None:
    held = values(node_status("tracker: node", replace(NODE, gpu_memory=(5_000_000_000, 24_000_000_000))))
    assert (held["GPU memory used [MB]"], held["GPU memory [MB]"]) == ("5000", "24000")
