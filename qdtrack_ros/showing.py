"""What is made of a camera's tracked images for those who look, beside tracking: places in space, then pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from qdtrack_model.sensors.camera_model import InvalidCameraInfo
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_ros.input.camera import Camera
from qdtrack_ros.input.depth import KEPT
from qdtrack_ros.operation.monitor import Counts
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.publishers import OutputOptions, Publishers
from qdtrack_ros.reason import reason
from qdtrack_ros.worker import Worker

_Item: TypeAlias = tuple[TrackedFrame, OutputOptions]


class Showing:
    """Two threads of one camera: in one images wait for their depth, in the other the newest is drawn.

    Args:
        camera: brings depth and calibration.
        publishers: of the camera.
        counts: what is left out is counted there.
        complain: told of each problem by its kind, and in words.
    """

    def __init__(
        self, camera: Camera, publishers: Publishers, counts: Counts, complain: Callable[[str, str], None]
    ) -> None:
        self._camera = camera
        self._publishers = publishers
        self._counts = counts
        self._complain = complain
        self._pictures: Worker[str, _Item] = Worker(
            self._draw, [""], capacity=1, name="qdtrack-pictures", report=self._report
        )
        self._space: Worker[str, _Item] | None = None
        if camera.depth is not None:
            self._space = Worker(self._locate, [""], capacity=KEPT, name="qdtrack-depth", report=self._report)

    def offer(self, frame: TrackedFrame, options: OutputOptions) -> None:
        """Show a frame to those who look, as soon as can be; returns at once."""
        depth = self._camera.depth
        if self._space is None or depth is None or not depth.due or not self._publishers.wants_space:
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
        """In the thread of depth: publish the places of the tracks in space; where that fails they are only drawn."""
        [(frame, options)] = items
        assert self._camera.depth is not None
        try:
            model = self._camera.model(options.rectified, frame.size)
            boxes = self._camera.depth.locate(frame.tracks.boxes, frame.header, model, options.depth_tolerance)
            frame = replace(frame, boxes3d=boxes)
            self._publishers.publish_space(frame)
        except (InvalidImage, InvalidCameraInfo) as error:
            self._complain(f"no places in space: {type(error).__name__}", f"no places in space: {error}")
            self._counts.without_depth += 1  # whoever sees the count finds the reason in the log
        self._show(frame, options)

    def _draw(self, items: list[_Item]) -> None:
        [(frame, options)] = items
        self._publishers.publish_pictures(frame, options.trail)

    def _report(self, error: Exception) -> None:
        self._complain(f"not shown: {type(error).__name__}", f"an image was tracked, but not shown: {reason(error)}")
