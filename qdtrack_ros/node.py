"""The tracker node: images of one camera or several in, tracks out; a managed node that can also start itself.

``ros2 run qdtrack tracker_node``, or ``python -m qdtrack_ros.node``.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header

from qdtrack_model.config import ConfigError, architecture_of, retuned
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options, default_weights
from qdtrack_model.tracking.handover import Handover
from qdtrack_ros import parameters
from qdtrack_ros.camera_tracker import CameraTracker, Delivered
from qdtrack_ros.logs import forwarded
from qdtrack_ros.operation.about import about
from qdtrack_ros.operation.diagnostics import Diagnostics, read_limits, read_node
from qdtrack_ros.operation.judgement import CameraReading
from qdtrack_ros.operation.services import Services
from qdtrack_ros.operation.snapshot import Snapshot
from qdtrack_ros.output.labels import ClassSource
from qdtrack_ros.output.publishers import OutputOptions
from qdtrack_ros.reason import reason
from qdtrack_ros.throttle import Throttle
from qdtrack_ros.tuning import tune_process
from qdtrack_ros.worker import Worker

# weights, how to run them, tracker settings -> what turns images into tracks
PipelineFactory = Callable[[str, Options, Mapping[str, Any]], Pipeline]
_SIGNAL_CHECK = 0.1  # seconds after which a signal is noticed at the latest
_WARM_UP_IMAGE = (720, 1280, 3)  # a usual camera: the first real image then finds every buffer in place


class TrackerNode(LifecycleNode):
    """Configure loads and warms up, activate subscribes and publishes; after a failure the node is unconfigured.

    Args:
        pipeline_factory: builds the pipeline at every configure; the default loads the weights.
        arguments: passed on to rclpy's node (name, parameter overrides and so on).

    Raises:
        ConfigError: a parameter given at the start cannot be used.
    """

    def __init__(self, pipeline_factory: PipelineFactory = Pipeline.load, **arguments: Any) -> None:
        super().__init__("tracker", **arguments)
        self._pipeline_factory = pipeline_factory
        self._pipeline: Pipeline | None = None
        self._source = ClassSource()
        self._cameras: list[CameraTracker] = []
        self._worker: Worker[CameraTracker, Delivered] | None = None
        self._failure = ""  # the last transition that failed, and why, until one succeeds
        self._snapshot = Snapshot()
        try:
            parameters.declare(self)
        except Exception:
            self.destroy_node()  # else it would stay in the graph, half made
            raise
        self._options = self._apply({})
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._diagnostics = Diagnostics(self)
        self._requests = Services(
            self, lambda: self._cameras, self._snapshot, lambda: about(self, self._diagnostics.latest)
        )
        # Not the node's clock: a silent camera must be noticed also where simulated time stands still.
        self._timer = self.create_timer(1.0, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # ---- parameters

    def _on_set_parameters(self, new: list[Parameter[Any]]) -> SetParametersResult:
        refusal = parameters.refusal(new, configured=self._pipeline is not None)
        if refusal:
            return SetParametersResult(successful=False, reason=refusal)
        values = {parameter.name: parameter.value for parameter in new}
        try:
            self._retune(parameters.tracker_settings(values))
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        options = self._apply(values)
        if options.min_score != self._options.min_score:
            for camera in self._cameras:
                camera.publishers.publish_labels(self._stamped_now(), options.min_score)
        self._options = options
        return SetParametersResult(successful=True)

    def _retune(self, settings: Mapping[str, Any]) -> None:
        """Let the trackers go on with other ``settings``; ConfigError where theirs is a kind that has none such."""
        if settings and self._cameras:
            config = retuned(self._cameras[0].tracker.config, settings)
            for camera in self._cameras:
                camera.configure(config)

    def _apply(self, new: Mapping[str, Any]) -> OutputOptions:
        """Obey the ``new`` values, which rclpy stores only after the callback, and give the options of the outputs."""

        def current(name: str) -> Any:
            return new[name] if name in new else parameters.value(self, name)

        self._snapshot.limit(current("snapshot_frames"), float(current("snapshot_memory")))
        return OutputOptions(
            min_score=float(current("min_score")),  # a whole number is taken, too
            lost=current("publish_lost"),
            embeddings=current("publish_embeddings"),
            trail=current("trail"),
            rectified=current("rectified"),
            depth_tolerance=float(current("depth_tolerance")),
        )

    # ---- transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, warm the network up and create the publishers."""
        try:
            weights = parameters.value(self, "weights")
            weights = default_weights(parameters.value(self, "runtime")) if weights == "auto" else weights
            self._pipeline = pipeline = self._load_pipeline(weights)
            architecture = architecture_of(pipeline.runtime.config)
            self._source = self._source.followed_by(pipeline.classes, architecture, weights)
            names = parameters.value(self, "cameras") or [""]
            depth, handover = parameters.value(self, "depth"), self._make_handover()
            self._cameras = [
                CameraTracker(self, name, pipeline, self._source, depth, handover, self._snapshot) for name in names
            ]
            self._failure = ""
            return super().on_configure(state)
        except Exception as error:  # any reason: the state machine would swallow it silently
            return self._failed("configure", error)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe to the cameras."""
        try:
            result = super().on_activate(state)
            self._start()
            self._failure = ""
            return result
        except Exception as error:
            return self._failed("activate", error)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the images in hand, then stop listening and publishing."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unload the network and remove the publishers."""
        self.close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave nothing behind, from whichever state."""
        self.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back; the node is then unconfigured, and what was wrong can be mended."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop the worker and give everything back; does nothing where nothing is held."""
        self._stop()
        self._requests.close()
        self._snapshot.clear()
        for camera in self._cameras:
            camera.close()
        self._cameras = []
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def start(self) -> None:
        """What ``autostart`` does: configure, then activate. A failure is logged and leaves the node waiting."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _failed(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        self._failure = f"{transition} failed: {reason(error)}"
        self.get_logger().error(self._failure)
        return TransitionCallbackReturn.ERROR

    def _load_pipeline(self, weights: str) -> Pipeline:
        options = Options(
            runtime=parameters.value(self, "runtime"),
            precision=parameters.value(self, "precision"),
            threads=parameters.value(self, "threads") or None,
            batch=parameters.value(self, "batch"),
            fallback=parameters.value(self, "fallback"),
        )
        begin = time.perf_counter()
        pipeline = self._pipeline_factory(weights, options, parameters.tracker_settings(parameters.values(self)))
        loaded = time.perf_counter()
        pipeline.runtime.warm_up()
        pipeline.process(np.zeros(_WARM_UP_IMAGE, np.uint8), 0.0)
        height, width = pipeline.runtime.config.input_size
        names = ", ".join(pipeline.classes[:8]) + ", ..." * (len(pipeline.classes) > 8)
        self.get_logger().info(
            f"loaded {weights} into {pipeline.runtime.name} on {pipeline.runtime.device}, input {width}x{height},"
            f" classes {names}; {1e3 * (loaded - begin):.0f} ms,"
            f" warm-up {1e3 * (time.perf_counter() - loaded):.0f} ms"
        )
        return pipeline

    def _make_handover(self) -> Handover | None:
        span = parameters.value(self, "handover_span")
        return Handover(span, parameters.value(self, "handover_score")) if span else None

    def _start(self) -> None:
        capacity, batch = parameters.value(self, "queue_size"), parameters.value(self, "batch")
        self._decoders = ThreadPoolExecutor(batch, "qdtrack-decoder")  # they start with the first batch
        self._worker = Worker(self._handle, self._cameras, capacity, batch)
        for camera in self._cameras:
            camera.begin(self._worker, self._stamped_now(), self._options.min_score)

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
            self._decoders.shutdown()
        for camera in self._cameras:
            camera.end()

    def _stamped_now(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg())

    # ---- images, in the worker's thread

    def _handle(self, items: list[Delivered]) -> None:
        """Images, each of another camera, from messages to published tracks; never raises."""
        assert self._pipeline is not None
        each = map if len(items) == 1 else self._decoders.map  # of one camera alone no thread is worth its while
        images = each(lambda one: one.camera.accept(one), items)
        accepted = [(one.camera, image) for one, image in zip(items, images, strict=True) if image is not None]
        if not accepted:
            return
        try:
            found = self._pipeline.detect([one.image.pixels for _, one in accepted])
        except Exception as error:  # images must not end the node
            for camera, _ in accepted:
                camera.fail(error)
            return
        for (camera, image), detections in zip(accepted, found, strict=True):
            try:
                camera.finish(image, detections, self._pipeline.timings, self._options)
            except Exception as error:
                camera.fail(error)

    # ---- watching

    def _watch(self) -> None:
        """Once a second: look after every camera, and tell how all fare."""
        limits = read_limits(self)
        readings: dict[str, CameraReading | None] = dict.fromkeys(parameters.value(self, "cameras") or [""])
        for camera in self._cameras:
            camera.watch(limits.silence_warning)
            queue = self._worker.waiting(camera) if self._worker is not None else 0
            readings[camera.name] = camera.reading(queue, limits.silence_warning)
        state = self._state_machine.current_state[1]  # rclpy has no public way to ask for one's own state
        self._diagnostics.publish(
            read_node(state, self._failure, self._source.weights, self._pipeline), readings, limits
        )


def _spin(node: TrackerNode, stop: threading.Event) -> None:
    """Start the node where it starts itself, then serve it until ``stop`` is set."""
    executor = SingleThreadedExecutor()  # the events executor's spin() delivers nothing in the Kilted wheels
    executor.add_node(node)
    if parameters.value(node, "autostart"):
        node.start()
    complaints = Throttle(seconds=5.0)
    while not stop.is_set() and rclpy.ok():
        try:
            executor.spin_once(timeout_sec=_SIGNAL_CHECK)
        except Exception as error:  # one callback's fault: it must not end the node
            if complaints.passes(type(error).__name__):
                node.get_logger().error(f"a callback failed: {reason(error)}")


def main(arguments: list[str] | None = None, pipeline_factory: PipelineFactory = Pipeline.load) -> int:
    """Run the node until it is interrupted; 2 when it cannot start."""
    tune_process()
    # Our own handlers: rclpy's end the context at once, and then not even the last log line gets out.
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = TrackerNode(pipeline_factory)
    except (ConfigError, ParameterException, NameValidationException, RuntimeError) as error:  # RuntimeError: rcl's own
        text = str(error).strip().splitlines()[0].split(", at /")[0]  # rcl adds the places in its source
        print(f"tracker_node: error: {text}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    with forwarded(node):
        _spin(node, stop)
    # Ctrl-C under a launch file may come twice: the second, on the way out of Python, would look like a crash.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    node.close()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
