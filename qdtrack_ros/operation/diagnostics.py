"""``/diagnostics``: how the node and each of its cameras fare, told once a second and in every state."""

from __future__ import annotations

import time
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions

from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import gpu, resident_memory
from qdtrack_ros import parameters
from qdtrack_ros.input.camera import Camera
from qdtrack_ros.input.silence import describe_silence
from qdtrack_ros.operation.judgement import CameraReading, Limits, NodeReading, camera_status, node_status
from qdtrack_ros.operation.monitor import Monitor, Samples


class Diagnostics:
    """Publishes statuses named ``node: part``, as diagnostic_aggregator and rqt_robot_monitor expect them.

    Attributes:
        latest: the statuses published last.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(
            DiagnosticArray, "/diagnostics", 1, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
        self.latest: list[DiagnosticStatus] = []

    def publish(self, node: NodeReading, cameras: Mapping[str, CameraReading | None], limits: Limits) -> None:
        """Tell of the node and of each camera by its name; a camera of None is not listened to."""
        name = self._node.get_fully_qualified_name().strip("/")
        self.latest = [
            node_status(f"{name}: node", node),
            *(camera_status(f"{name}: {one or 'camera'}", held, node.state, limits) for one, held in cameras.items()),
        ]
        message = DiagnosticArray(status=self.latest)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def read_limits(node: Node) -> Limits:
    """The thresholds as they are set."""
    return Limits(
        min_rate=parameters.value(node, "diagnostics.min_rate"),
        max_age=parameters.value(node, "diagnostics.max_age"),
        max_drop_ratio=parameters.value(node, "diagnostics.max_drop_ratio"),
        silence_warning=parameters.value(node, "silence_warning"),
    )


def read_node(
    state: str, failure: str, progress: str, trouble: str, weights: str, pipeline: Pipeline | None
) -> NodeReading:
    """What is known of the node now; ``pipeline`` is None while it is unconfigured."""
    told = (state, failure, progress, trouble)
    if pipeline is None:
        return NodeReading(*told, "", "", "", 0, resident_memory(), None)
    runtime = pipeline.runtime
    # Asking for the GPU would start CUDA in a process that does not use it.
    memory = None if runtime.device.startswith("cpu") else gpu.memory()
    return NodeReading(*told, weights, runtime.name, runtime.device, runtime.memory, resident_memory(), memory)


def read_camera(
    node: Node, camera: Camera, monitor: Monitor, queue: int, remembered: int, silence_warning: float
) -> CameraReading:
    """What is known of a camera now, to be asked once a second.

    Args:
        queue: images of it that wait.
        remembered: tracks that the latest image did not show.
        silence_warning: seconds of silence [s] after which it is looked into; 0 for never.
    """
    silence, listening = camera.silence, camera.listening
    return CameraReading(
        listening=listening,
        delivering=camera.delivering,
        publishers=sum(node.count_publishers(topic) for topic in listening),
        incompatible=camera.incompatible(),
        silence=silence,
        silence_reason=describe_silence(node, camera) if silence_warning and silence >= silence_warning else "",
        counts=monitor.counts,
        recent=monitor.recent(time.monotonic()),
        unusable=monitor.unusable,
        failure=monitor.failure,
        queue=queue,
        seen=monitor.seen,
        remembered=remembered,
        ages=_middle_and_high(monitor.ages),
        stages={name: _middle_and_high(samples) for name, samples in monitor.stages.items()},
    )


def _middle_and_high(samples: Samples) -> tuple[float, float] | None:
    """50th and 95th percentile."""
    found = samples.percentiles(50, 95)
    return None if found is None else (float(found[0]), float(found[1]))
