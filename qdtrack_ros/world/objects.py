"""Where the objects of one camera are in the robot's world: on its ground, in its frames, and how they move."""

from __future__ import annotations

from dataclasses import replace

from std_msgs.msg import Header

from qdtrack_model.sensors.camera_model import CameraModel
from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.sensors.ground import on_the_ground
from qdtrack_model.sensors.poses import Pose
from qdtrack_model.structures import Array, Tracks
from qdtrack_model.tracking.places import PlaceFilter
from qdtrack_ros.input.stamps import stamp_nanoseconds, stamp_seconds
from qdtrack_ros.world.transforms import NoTransform
from qdtrack_ros.world.world import World

_WAIT = 0.25  # seconds that an image, which is tracked by then, waits for a transform of its time


class Objects:
    """Places of one camera's tracks, image by image.

    Args:
        world: brings transforms, and says which frames are asked for.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._filter = PlaceFilter()

    @property
    def on_ground(self) -> bool:
        """Whether objects stand on the ground where nothing else is known of them."""
        return self._world.ground is not None

    def frame(self, header: Header) -> str:
        """The frame in which the objects of an image are published."""
        return str(self._world.target or header.frame_id)

    def feet(self, boxes: Array, header: Header, model: CameraModel) -> Boxes3D:
        """Where the objects in boxes (M, 4) of an image stand, in its optical frame.

        Raises:
            NoTransform: it is not known where the camera was.
        """
        assert self._world.ground is not None
        return on_the_ground(boxes, model, self._pose(self._world.target, header), self._world.ground)

    def placed(self, tracks: Tracks, boxes: Boxes3D, header: Header) -> Boxes3D:
        """Where objects that are known in the optical frame are in the frame that is asked for, and how they move.

        Args:
            tracks: of the image.
            boxes: of some of them.
            header: of the image.

        Raises:
            NoTransform: it is not known where the camera was.
        """
        pose = self._pose(self._world.target or header.frame_id, header)
        found = boxes.seen_from(pose)
        if not self._world.fixed:
            return found
        fixed = self._pose(self._world.fixed, header)
        seen = boxes.seen_from(fixed)
        means, covariances = self._filter.update(
            tracks.ids[boxes.rows], seen.centres, seen.covariances, stamp_seconds(header)
        )
        back = pose @ fixed.inverse
        return replace(
            found,
            centres=back.places(means[:, :3]),
            covariances=back.covariances(covariances[:, :3, :3]),
            velocities=back.directions(means[:, 3:]),
            velocity_covariances=back.covariances(covariances[:, 3:, 3:]),
        )

    def _pose(self, frame: str, header: Header) -> Pose:
        """Where the camera was in a frame when it took an image."""
        if frame == header.frame_id:
            return Pose.of((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        if self._world.transforms is None:
            raise NoTransform(f"from {header.frame_id!r} to {frame!r}: tf2_ros is not in use", late=False)
        return self._world.transforms.pose(frame, header.frame_id, stamp_nanoseconds(header), _WAIT)
