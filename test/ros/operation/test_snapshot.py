"""Snapshots: what is kept, what it may cost, and a bag that is whole or not there."""

from __future__ import annotations

import array
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from builtin_interfaces.msg import Time
from qdtrack.msg import TrackedDetection, TrackedDetectionArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header

from qdtrack_model import cli
from qdtrack_model.data.bags import read_images, read_raw, typestore
from qdtrack_ros.operation.snapshot import Kept, Snapshot, SnapshotError

INFO = CameraInfo(width=64, height=48, k=[50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0])


def frame(number: int, camera: str = "/front", size: int = 0) -> list[Kept]:
    """An image of (at least) ``size`` bytes, its calibration, and the tracks published 1 ms later."""
    header = Header(stamp=Time(sec=1000 - number), frame_id="optical")  # stamps that run backwards
    picture = np.full((48, 64, 3), 10 * number, np.uint8)
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    image = CompressedImage(header=header, format="jpeg", data=array.array("B", data + bytes(max(0, size - len(data)))))
    track = TrackedDetection(id=number, class_name="pedestrian", state=TrackedDetection.ACTIVE)
    track.embedding = array.array("f", [0.5, 1.0])
    tracks = TrackedDetectionArray(header=header, image_width=64, image_height=48, tracks=[track])
    time = 1_700_000_000_000_000_000 + number * 40_000_000
    return [
        Kept(f"{camera}/image/compressed", time, image),
        Kept(f"{camera}/camera_info", time, INFO),
        Kept(f"/tracker{camera}/tracks", time + 1_000_000, tracks),
    ]


def kept_ids(snapshot: Snapshot, path: Path) -> list[tuple[str, int]]:
    """Topic and track id of every tracks message in a snapshot saved to ``path``."""
    snapshot.save(str(path), {})
    return [
        (topic, deserialize_message(data, TrackedDetectionArray).tracks[0].id)
        for topic, _, _, data in read_raw(path)
        if topic.endswith("/tracks")
    ]


def test_what_was_kept_is_read_back_as_it_was(tmp_path: Path) -> None:
    snapshot = Snapshot(10, 1, tmp_path)
    frames = [frame(number) for number in range(3)]
    for one in frames:
        snapshot.keep("front", one)
    about = {"parameters": {"/**": {"ros__parameters": {"weights": "strasse ß"}}}}
    path, text = snapshot.save(str(tmp_path / "new" / "bag"), about)
    assert (path, text) == (tmp_path / "new" / "bag", "frames written: 3 of front")
    assert sorted(p.name for p in path.iterdir()) == ["bag.mcap", "metadata.yaml", "parameters.yaml"]
    assert yaml.safe_load((path / "parameters.yaml").read_text(encoding="utf-8")) == about["parameters"]
    read = {(topic, time): data for topic, _, time, data in read_raw(path)}
    expected = {(one.topic, one.time): one.message for part in frames for one in part}
    del expected["/front/camera_info", frames[1][1].time], expected["/front/camera_info", frames[2][1].time]
    assert {at: deserialize_message(data, type(expected[at])) for at, data in read.items()} == expected
    types = {topic: kind for topic, kind, _, _ in read_raw(path)}
    assert types["/tracker/front/tracks"] == "qdtrack/msg/TrackedDetectionArray"


def test_bags_are_read_without_ros(tmp_path: Path) -> None:
    snapshot = Snapshot(10, 1, tmp_path)
    for number in range(3):
        snapshot.keep("", frame(number))
    path, _ = snapshot.save(str(tmp_path / "bag"), {})
    assert [stamp for _, stamp, _ in read_images(path)] == [1000.0, 999.0, 998.0]  # in the order of arrival
    last = [record for record in read_raw(path) if record[0] == "/tracker/front/tracks"][-1]
    message = typestore().deserialize_cdr(last[3], last[1])
    assert message.tracks[0].embedding.tolist() == [0.5, 1.0]


def test_the_command_line_tracks_a_snapshot(tmp_path: Path) -> None:
    snapshot = Snapshot(10, 1, tmp_path)
    snapshot.keep("", frame(0))
    path, _ = snapshot.save(str(tmp_path / "bag"), {})
    assert cli.main(["track", str(path), "--output", str(tmp_path / "tracks.txt")]) == 0
    assert (tmp_path / "tracks.txt").read_text() == ""  # nobody is in a grey picture


def test_the_latest_frames_of_each_camera_are_kept(tmp_path: Path) -> None:
    snapshot = Snapshot(2, 1, tmp_path)
    for number in range(5):
        snapshot.keep("front", frame(number, "/front"))
    snapshot.keep("rear", frame(9, "/rear"))
    front, rear = "/tracker/front/tracks", "/tracker/rear/tracks"
    assert kept_ids(snapshot, tmp_path / "a") == [(front, 3), (front, 4), (rear, 9)]
    snapshot.limit(1, 1)
    assert kept_ids(snapshot, tmp_path / "b") == [(front, 4), (rear, 9)]
    snapshot.clear()
    with pytest.raises(SnapshotError, match="no image is kept"):
        snapshot.save(str(tmp_path / "c"), {})


def test_memory_is_shared_by_the_cameras(tmp_path: Path) -> None:
    snapshot = Snapshot(100, 0.1, tmp_path)
    snapshot.keep("rear", frame(9, "/rear", 20_000))
    for number in range(9):
        snapshot.keep("front", frame(number, "/front", 20_000))
    rear, front = "/tracker/rear/tracks", "/tracker/front/tracks"
    assert kept_ids(snapshot, tmp_path / "a") == [(front, 5), (front, 6), (front, 7), (front, 8), (rear, 9)]
    snapshot.limit(100, 0.05)
    assert kept_ids(snapshot, tmp_path / "b") == [(front, 8), (rear, 9)]
    snapshot.limit(0, 1)
    snapshot.keep("front", frame(1))
    with pytest.raises(SnapshotError, match="no image is kept"):
        snapshot.save(str(tmp_path / "d"), {})


def test_without_a_path_it_lies_in_the_home_of_ros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    snapshot = Snapshot(10, 1)
    snapshot.keep("", frame(0))
    paths = {snapshot.save("", {})[0] for _ in range(2)}
    assert {path.parent for path in paths} == {tmp_path / "ros" / "qdtrack"}
    assert sorted(p for p in (tmp_path / "ros" / "qdtrack").iterdir()) == sorted(paths)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("{}/there", "/there: is there already; choose another place or remove it"),
        ("{}/file/bag", "/file/bag: cannot be written: "),
        ("{}/" + "x" * 300, "cannot be written: File name too long"),
        ("/proc/bag", "/proc/bag: expected a place below {} (parameter snapshot_folder)"),
        ("{}", "expected a place below {} (parameter snapshot_folder)"),
        ("../bag", "../bag: expected a place below {}"),
        ("there/../../bag", "there/../../bag: expected a place below {}"),
        ("away/bag", "away/bag: expected a place below {}"),
        ("a\0b", "'a\\x00b': not a path"),
    ],
)
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "away").symlink_to(tmp_path.parent)
    snapshot = Snapshot(10, 1, tmp_path)
    snapshot.keep("", frame(0))
    with pytest.raises(SnapshotError) as caught:
        snapshot.save(path.format(tmp_path), {})
    assert reason.format(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["away", "file", "there"]
    assert list((tmp_path / "there").iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """The limit of a file's size stands for the end of the disk: both fail in the middle of writing."""
    program = (
        "import os, resource, sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_snapshot import Snapshot, SnapshotError, frame\n"
        "snapshot = Snapshot(100, 10, sys.argv[2])\n"
        "for number in range(20): snapshot.keep('', frame(number, size=200_000))\n"
        "snapshot.save(sys.argv[2] + '/fits', {})\n"
        "files = len(os.listdir('/proc/self/fd'))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, resource.RLIM_INFINITY))\n"
        "for _ in range(3):\n"
        "    try: snapshot.save(sys.argv[2] + '/bag', {})\n"
        "    except SnapshotError as error: print(error)\n"
        "assert len(os.listdir('/proc/self/fd')) == files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "snapshot.save(sys.argv[2] + '/again', {})\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path}/bag: cannot be written: File too large\n" * 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "fits"]
    assert len(list(read_images(tmp_path / "again"))) == 20
