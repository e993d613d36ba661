"""What is made of a camera's tracked images for those who look, beside tracking: places in space, then pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from qdtrack_model.sensors.camera_model import CameraModel, InvalidCameraInfo
from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_ros.input.camera import Camera
from qdtrack_ros.input.depth import KEPT
from qdtrack_ros.operation.monitor import Counts
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.publishers import OutputOptions, Publishers
from qdtrack_ros.reason import reason
from qdtrack_ros.worker import Worker
from qdtrack_ros.world.objects import Objects
from qdtrack_ros.world.transforms import NoTransform

_Item: TypeAlias = tuple[TrackedFrame, OutputOptions]


class Showing:
    """Two threads of one camera: in one images wait for depth and transforms, in the other the newest is drawn.

    Args:
        camera: brings depth and calibration.
        objects: puts them into the robot's world.
        publishers: of the camera.
        counts: what is left out is counted there.
        complain: told of each problem by its kind, and in words.
    """

    def __init__(
        self,
        camera: Camera,
        objects: Objects,
        publishers: Publishers,
        counts: Counts,
        complain: Callable[[str, str], None],
    ) -> None:
        self._camera = camera
        self._objects = objects
        self._publishers = publishers
        self._counts = counts
        self._complain = complain
        self._pictures: Worker[str, _Item] = Worker(
            self._draw, [""], capacity=1, name="qdtrack-pictures", report=self._report
        )
        self._space: Worker[str, _Item] | None = None
        if camera.depth is not None or objects.on_ground:
            self._space = Worker(self._locate, [""], capacity=KEPT, name="qdtrack-space", report=self._report)

    def offer(self, frame: TrackedFrame, options: OutputOptions) -> None:
        """Show a frame to those who look, as soon as can be; returns at once."""
        depth = self._camera.depth
        due = self._objects.on_ground or (depth is not None and depth.due)
        if self._space is None or not due or not self._publishers.wants_space:
            self._show(frame, options)
        elif not self._space.offer("", (frame, options)):
            self._counts.without_depth += 1

    def close(self) -> bool:
        """End the threads; False if one did not end."""
        ended = self._space is None or self._space.close()
        return self._pictures.close() and ended

    def _show(self, frame: TrackedFrame, options: OutputOptions) -> None:
        if not self._publishers.wants_pictures:
            self._publishers.reset()
        elif not self._pictures.offer("", (frame, options)):
            self._counts.not_drawn += 1

    def _locate(self, items: list[_Item]) -> None:
        """In the thread of space: publish the places of the tracks there; where that fails they are only drawn."""
        [(frame, options)] = items
        try:
            model = self._camera.model(options.rectified, frame.size)
            boxes = self._boxes(frame, model, options.depth_tolerance)
            frame = replace(frame, boxes3d=boxes)
            placed = self._objects.placed(frame.tracks, boxes, frame.header)
            self._publishers.publish_space(replace(frame, placed=placed, frame=self._objects.frame(frame.header)))
        except (InvalidImage, InvalidCameraInfo) as error:
            self._count_without_depth(error)
        except NoTransform as error:
            self._complain("no transform", f"no places in space: no transform {error}")
            self._counts.late_transforms += error.late
            self._counts.missing_transforms += not error.late
        self._show(frame, options)

    def _boxes(self, frame: TrackedFrame, model: CameraModel, tolerance: float) -> Boxes3D:
        """Where the tracks are in the frame of the image, by depth and, where they are to stand on it, by the ground.

        Raises:
            InvalidImage: there is no depth, nor ground.
            NoTransform: there is no ground, for want of a transform.
        """
        boxes, header, depth = frame.tracks.boxes, frame.header, self._camera.depth
        if not self._objects.on_ground:
            assert depth is not None
            return depth.locate(boxes, header, model, tolerance)
        feet = self._objects.feet(boxes, header, model)
        if depth is None:
            return feet
        try:
            return depth.locate(boxes, header, model, tolerance).completed_by(feet)
        except InvalidImage as error:
            self._count_without_depth(error)
            return feet

    def _count_without_depth(self, error: Exception) -> None:
        self._complain(f"no places in space: {type(error).__name__}", f"no places in space: {error}")
        self._counts.without_depth += 1  # whoever sees the count finds the reason in the log

    def _draw(self, items: list[_Item]) -> None:
        [(frame, options)] = items
        self._publishers.publish_pictures(frame, options.trail)

    def _report(self, error: Exception) -> None:
        self._complain(f"not shown: {type(error).__name__}", f"an image was tracked, but not shown: {reason(error)}")
