"""What is known of the robot around the cameras; all of them share it."""

from __future__ import annotations

from rclpy.node import Node

from qdtrack_model.config import ConfigError
from qdtrack_ros import parameters
from qdtrack_ros.world.ego_motion import ByImage, ByRotation, EgoMotion, by_gyroscope, by_transforms
from qdtrack_ros.world.gyroscope import Gyroscope
from qdtrack_ros.world.transforms import Transforms, tf_is_here


class World:
    """Transforms and inertial sensor, as the parameters ask for them; lives as long as the node is configured.

    Args:
        node: owner of the subscriptions.

    Attributes:
        transforms: what tf tells; None where nothing asks for it.
        fixed: frame in which the ground stands still; "" for none.
        target: frame in which objects are published; "" for that of their image.
        ground: height of the ground in it [m]; None where objects need not stand on it.

    Raises:
        ConfigError: parameters that do not fit together.
    """

    def __init__(self, node: Node) -> None:
        self._way = parameters.value(node, "ego_motion")
        self.fixed = parameters.value(node, "fixed_frame")
        self.target = parameters.value(node, "target_frame")
        self.ground = parameters.value(node, "ground_height") if parameters.value(node, "ground") else None
        if self._way == "tf" and not self.fixed:
            raise ConfigError("ego_motion: tf needs fixed_frame, a frame that is fixed to the ground such as odom")
        if self.ground is not None and not self.target:
            raise ConfigError("ground: true needs target_frame, a frame whose z points up such as base_link")
        if self.target and self.ground is None and not parameters.value(node, "depth"):
            node.get_logger().warning(
                f"target_frame: {self.target} has no effect: set depth or ground, by which places in space are known"
            )
        needed = bool(self.fixed or self.target) or (self._way == "imu" and tf_is_here())
        self.transforms = Transforms.of(node) if needed else None
        self._gyroscope = Gyroscope(node) if self._way == "imu" else None

    def ego_motion(self) -> EgoMotion | None:
        """What follows the motion of one camera from now on; None where that is not asked for."""
        if self._way == "image":
            return ByImage()
        if self._gyroscope is not None:
            return ByRotation(by_gyroscope(self._gyroscope, self.transforms))
        if self._way == "tf":
            assert self.transforms is not None
            return ByRotation(by_transforms(self.transforms, self.fixed))
        return None

    def went_back(self) -> None:
        """Begin anew with transforms: a bag loops, or a simulation was restarted."""
        if self.transforms is not None:
            self.transforms.forget()

    def close(self) -> None:
        """Stop listening."""
        for held in (self.transforms, self._gyroscope):
            if held is not None:
                held.close()
