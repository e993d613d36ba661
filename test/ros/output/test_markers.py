"""Markers lie over their image where RViz draws both, are complete in every message, and vanish with their tracks."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from scenes import CLASSES, HEADER, calibration, frame_of, tracks_at, trails_of
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from visualization_msgs.msg import Marker, MarkerArray

from qdtrack_model.drawing.overlay import Trails, colour_of
from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.structures import Array, Tracks
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.markers import image_plane, markers_message

BOXES = [
    [100.25, 60.5, 240.75, 180.125],
    [0, 0, 640, 360],
    [-20.5, 300, 40, 380.5],
]  # the last too narrow for its class


def shown(frame: TrackedFrame, trails: Trails | None = None) -> dict[str, list[Marker]]:
    """The markers of a frame by namespace."""
    assert frame.info is not None
    message = markers_message(frame, image_plane(frame.info, frame.size), trails or Trails(10), CLASSES)
    found: dict[str, list[Marker]] = defaultdict(list)
    for marker in message.markers:
        found[marker.ns].append(marker)
    return found


def points_of(marker: Marker) -> Array:
    return np.array([[p.x, p.y, p.z] for p in marker.points])


def on_screen(points: Array, info: CameraInfo) -> Array:
    """Where RViz's Camera display draws points, -1 to 1 across the panel: its projection matrix, row by row."""
    fx, fy, cx, cy = info.p[0], info.p[5], info.p[2], info.p[6]
    x, y, z = points[:, 0] + info.p[3] / fx, points[:, 1], points[:, 2]
    right = (2 * fx / info.width * x - 2 * (0.5 - cx / info.width) * z) / z
    up = (-2 * fy / info.height * y - 2 * (cy / info.height - 0.5) * z) / z
    return np.column_stack([right, up])


def image_on_screen(pixels: Array, size: tuple[int, int], info: CameraInfo) -> Array:
    """Where it draws pixels of the image: the image is stretched over the corners it computes for it."""
    roi = info.roi
    left, top, right, bottom = -1.0, 1.0, 1.0, -1.0
    if roi.width or roi.height:
        left, top = 2 * roi.x_offset / info.width - 1, -2 * roi.y_offset / info.height + 1
        right, bottom = left + 2 * roi.width / info.width, top - 2 * roi.height / info.height
    share = pixels / size
    return np.column_stack([left + share[:, 0] * (right - left), top + share[:, 1] * (bottom - top)])


STEREO = calibration()
STEREO.p[3] = -51.05  # the right camera of a pair, 0.1 m beside the left one
PART = RegionOfInterest(x_offset=200, y_offset=100, width=640, height=360)


@pytest.mark.parametrize(
    ("info", "size"),
    [
        (calibration(), (640, 360)),
        (STEREO, (640, 360)),
        (calibration(1280, 720, roi=PART), (640, 360)),
        (calibration(1280, 720, roi=PART, binning_x=2, binning_y=2), (320, 180)),
        (calibration(1280, 720, binning_x=2, binning_y=2), (640, 360)),
        (calibration(1280, 800), (640, 360)),
    ],
    ids=["whole", "stereo", "region", "region binned", "binned", "resized"],
)
def test_rviz_draws_markers_on_the_pixels(info: CameraInfo, size: tuple[int, int]) -> None:
    tracks = tracks_at(BOXES)
    markers = shown(frame_of(tracks, size, info=info))
    (boxes,) = markers["boxes"]
    corners = tracks.boxes[:, [[0, 1], [2, 1], [2, 1], [2, 3], [2, 3], [0, 3], [0, 3], [0, 1]]].reshape(-1, 2)
    pixel = 2 / max(info.width, info.height)
    np.testing.assert_allclose(
        on_screen(points_of(boxes), info), image_on_screen(corners.astype(float), size, info), atol=0.01 * pixel
    )


def test_lines_and_letters_can_be_seen_in_a_small_panel() -> None:
    found = shown(frame_of(tracks_at(BOXES), info=calibration()))
    pixels = calibration().p[5]  # for a metre on the plane 1 m before the camera
    assert found["boxes"][0].scale.x * pixels == pytest.approx(360 / 250)
    assert found["ids"][0].scale.z * pixels == pytest.approx(360 / 30)


def test_trails_lie_where_the_objects_stood() -> None:
    moments = [tracks_at([[10 + step, 20, 30 + step, 80.5]], ids=[7]) for step in range(4)]
    info = calibration()
    markers = shown(frame_of(moments[-1], info=info), trails_of(*moments))
    (trail,) = markers["trails"]
    assert trail.type == Marker.LINE_STRIP
    expected = np.array([[20.0 + step, 80.5] for step in range(4)])
    np.testing.assert_allclose(
        on_screen(points_of(trail), info), image_on_screen(expected, (640, 360), info), atol=1e-5
    )
    opacities = [colour.a for colour in trail.colors]
    assert len(opacities) == 4 and opacities == sorted(opacities) and opacities[0] < opacities[-1] < 1


def test_every_message_is_complete_and_removes_what_was_before() -> None:
    message = markers_message(frame_of(tracks_at(BOXES)), image_plane(calibration(), (640, 360)), Trails(10), CLASSES)
    assert [marker.action for marker in message.markers] == [Marker.DELETEALL] + [Marker.ADD] * 4
    assert all(marker.header == HEADER for marker in message.markers)
    assert all(marker.lifetime.sec > 0 for marker in message.markers[1:])
    assert unique(message)
    empty = markers_message(frame_of(Tracks.empty()), image_plane(calibration(), (640, 360)), Trails(10), CLASSES)
    assert [marker.action for marker in empty.markers] == [Marker.DELETEALL]


def unique(message: MarkerArray) -> bool:
    """RViz reports an error where a namespace and id come twice."""
    names = [(marker.ns, marker.id) for marker in message.markers]
    return len(set(names)) == len(names)


def test_ids_and_colours_are_those_of_the_overlay() -> None:
    tracks = tracks_at(BOXES, ids=[3, 70_000_000_000, 5])
    markers = shown(frame_of(tracks, info=calibration()))
    assert [label.text for label in markers["ids"]] == ["pedestrian 3", "pedestrian 70000000000", "5"]
    (boxes,) = markers["boxes"]
    for row, identity in enumerate(tracks.ids.tolist()):
        for colour in (markers["ids"][row].color, boxes.colors[8 * row], boxes.colors[8 * row + 7]):
            bgr = [round(255 * value) for value in (colour.b, colour.g, colour.r)]
            assert (tuple(bgr), colour.a) == (colour_of(identity), 1.0)


def test_labels_stay_in_the_image() -> None:
    info = calibration()
    markers = shown(frame_of(tracks_at([[100, 0, 160, 180], [300, 200, 360, 300]]), info=info))
    places = [label.pose.position for label in markers["ids"]]
    levels = on_screen(np.array([[place.x, place.y, place.z] for place in places]), info)[:, 1]
    assert levels[0] < 1, "at the upper edge the label is inside"
    assert levels[1] > 1 - 2 * 200 / 360, "elsewhere above its box"


def test_boxes_in_space_are_wires_around_the_object() -> None:
    tracks = tracks_at(BOXES, ids=[3, 4, 5])
    found = Boxes3D(
        rows=np.array([0, 2]),
        centres=np.array([[1, 0.5, 8], [-2, 0, 12.5]], np.float32),
        sizes=np.array([[0.5, 1.75, 0.25], [2, 1.5, 4]], np.float32),
        covariances=np.zeros((2, 3, 3), np.float32),
    )
    markers = shown(frame_of(tracks, info=calibration(), boxes3d=found))
    (wires,) = markers["boxes_3d"]
    edges = points_of(wires).reshape(2, 12, 2, 3)
    np.testing.assert_allclose(edges.reshape(2, 24, 3).min(axis=1), found.centres - found.sizes / 2)
    np.testing.assert_allclose(edges.reshape(2, 24, 3).max(axis=1), found.centres + found.sizes / 2)
    spans = np.abs(edges[:, :, 1] - edges[:, :, 0])  # each edge runs along one axis, four along each
    np.testing.assert_allclose(np.sort(spans, axis=1)[:, -4:], np.repeat(found.sizes[:, None], 4, axis=1))
    assert ((spans > 0).sum(axis=2) == 1).all()
    assert [label.text for label in markers["ids_3d"]] == ["pedestrian 3", "5"]
    assert markers["ids_3d"][0].pose.position.y < 0.5 - 1.75 / 2, "above: y points down"


@pytest.mark.parametrize("p", [[0.0] * 12, [np.nan] * 12], ids=["zero", "nan"])
def test_a_camera_that_is_not_calibrated_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="calibrated"):
        image_plane(CameraInfo(width=640, height=360, p=p), (640, 360))
