"""The tracker node: images in, tracks out; a managed node that can also start itself.

``ros2 run qdtrack tracker_node``, or ``python -m qdtrack_ros.node``.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
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

from qdtrack_model.config import ConfigError
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options, default_weights
from qdtrack_model.structures import Array, Tracks
from qdtrack_ros import parameters
from qdtrack_ros.camera import Camera, Counts, ImageMessage, describe_silence
from qdtrack_ros.conversions import InvalidImage, image_array, stamp_seconds
from qdtrack_ros.outputs import OutputOptions, Outputs
from qdtrack_ros.throttle import Throttle
from qdtrack_ros.worker import Worker

# weights, how to run them, tracker settings -> what turns images into tracks
PipelineFactory = Callable[[str, Options, Mapping[str, Any]], Pipeline]
_SIGNAL_CHECK = 0.1  # seconds after which a signal is noticed at the latest
_LISTEN_AGAIN = 5.0  # seconds of silence after which both of the camera's topics are listened to again
_WARM_UP_IMAGE = (720, 1280, 3)  # a usual camera: the first real image then finds every buffer in place


class TrackerNode(LifecycleNode):
    """Configure loads and warms up, activate subscribes and publishes; whatever fails leaves the state before.

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
        self._outputs: Outputs | None = None
        self._worker: Worker[tuple[Camera, ImageMessage]] | None = None
        self._camera: Camera | None = None
        self._silence_reported = False
        self._dropped_reported = 0
        self._complaints = Throttle(seconds=5.0)
        parameters.declare(self)
        self._options = self._read_options({})
        self.add_on_set_parameters_callback(self._on_set_parameters)
        # Not the node's clock: a silent camera must be noticed also where simulated time stands still.
        self._watch = self.create_timer(1.0, self._watch_camera, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # ---- parameters

    def _on_set_parameters(self, new: list[Parameter[Any]]) -> SetParametersResult:
        reason = parameters.refusal(new, configured=self._pipeline is not None)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        options = self._read_options({parameter.name: parameter.value for parameter in new})
        if self._outputs is not None and options.min_score != self._options.min_score:
            self._outputs.publish_labels(self._stamped_now(), options.min_score)
        self._options = options
        return SetParametersResult(successful=True)

    def _read_options(self, new: Mapping[str, Any]) -> OutputOptions:
        """The output options with the ``new`` values, which rclpy stores only after the callback."""

        def current(name: str) -> Any:
            return new[name] if name in new else parameters.value(self, name)

        return OutputOptions(
            min_score=float(current("min_score")),  # a whole number is taken, too
            lost=current("publish_lost"),
            embeddings=current("publish_embeddings"),
            overlay_trail=current("overlay_trail"),
        )

    # ---- transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, warm the network up and create the publishers."""
        try:
            self._pipeline = self._load_pipeline()
            self._outputs = Outputs(self, self._pipeline.classes)
            return super().on_configure(state)
        except Exception as error:  # any reason: the state machine would swallow it silently
            return self._failed("configure", error)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and start the worker."""
        try:
            result = super().on_activate(state)
            self._start()
            return result
        except Exception as error:
            self._stop()
            super().on_deactivate(state)
            self.get_logger().error(f"activate failed: {_reason(error)}")
            return TransitionCallbackReturn.FAILURE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the image in hand, then stop listening and publishing."""
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

    def close(self) -> None:
        """Stop the worker and give everything back; does nothing where nothing is held."""
        self._stop()
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def start(self) -> None:
        """What ``autostart`` does: configure, then activate. A failure is logged and leaves the node waiting."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _failed(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        self.close()
        self.get_logger().error(f"{transition} failed: {_reason(error)}")
        return TransitionCallbackReturn.FAILURE

    def _load_pipeline(self) -> Pipeline:
        weights = parameters.value(self, "weights")
        if weights == "auto":
            weights = default_weights()
        options = Options(
            runtime=parameters.value(self, "runtime"),
            precision=parameters.value(self, "precision"),
            threads=parameters.value(self, "threads") or None,
            fallback=parameters.value(self, "fallback"),
        )
        begin = time.perf_counter()
        pipeline = self._pipeline_factory(weights, options, parameters.tracker_overrides(self))
        loaded = time.perf_counter()
        pipeline.runtime.warm_up()
        pipeline.process(np.zeros(_WARM_UP_IMAGE, np.uint8), 0.0)
        pipeline.reset()
        height, width = pipeline.runtime.config.input_size
        names = ", ".join(pipeline.classes[:8]) + ", ..." * (len(pipeline.classes) > 8)
        self.get_logger().info(
            f"loaded {weights} into {pipeline.runtime.name} on {pipeline.runtime.device}, input {width}x{height},"
            f" classes {names}; {1e3 * (loaded - begin):.0f} ms,"
            f" warm-up {1e3 * (time.perf_counter() - loaded):.0f} ms"
        )
        return pipeline

    def _start(self) -> None:
        assert self._pipeline is not None and self._outputs is not None
        self._pipeline.reset()
        self._outputs.begin(self._stamped_now(), self._options.min_score)
        self._worker = Worker(self._handle, parameters.value(self, "queue_size"))
        self._camera = Camera(self, self._deliver)
        self._camera.listen()
        self._silence_reported, self._dropped_reported = False, 0
        self.get_logger().info(f"active: waiting for images on {' or '.join(self._camera.topics.values())}")

    def _stop(self) -> None:
        if self._camera is not None:
            self._camera.close()
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        if self._camera is not None:
            self.get_logger().info(f"stopped: {self._camera.counts}")
            self._camera = None

    def _stamped_now(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg())

    # ---- images: delivered in the executor's thread, handled in the worker's

    def _deliver(self, camera: Camera, message: ImageMessage) -> None:
        if self._worker is not None and not self._worker.offer((camera, message)):
            camera.counts.dropped += 1

    def _handle(self, item: tuple[Camera, ImageMessage]) -> None:
        """One image from message to published tracks; never raises."""
        camera, message = item
        assert self._pipeline is not None and self._outputs is not None
        try:
            image = image_array(message)
            tracks = self._track(camera, image, message.header)
            if tracks is not None:
                lost = self._pipeline.tracker.remembered() if self._options.lost else Tracks.empty()
                self._outputs.publish(tracks, lost, message.header, image, self._options)
                camera.counts.tracked += 1
        except InvalidImage as error:
            camera.counts.unusable += 1
            self._complain(error.problem, f"image not used: {error}")
        except Exception as error:  # one image must not end the node
            if self.context.ok():  # at the end of the process publishing fails, and that is no news
                camera.counts.unusable += 1
                self._complain(type(error).__name__, f"image not tracked: {_reason(error)}")

    def _track(self, camera: Camera, image: Array, header: Header) -> Tracks | None:
        """The tracks to publish for this image, None when it is the previous one again."""
        assert self._pipeline is not None
        step = camera.step_of(header)
        moment = stamp_seconds(header)
        if moment == 0.0:
            self._complain("no stamp", "images come without a stamp: the time of their arrival is used for tracking")
            moment = time.monotonic()  # the node's clock may be set back, and in a simulation stand still
        elif step == 0.0:
            camera.counts.repeated += 1
            return None
        elif step is not None and step < 0.0 and self._complaints.passes("stamps went back"):
            # The tracker forgets on its own, and its ids go on: nobody sees an old id on a new object.
            self.get_logger().warning(f"stamps went back by {-step:.3f} s: all tracks are forgotten")
        return self._pipeline.process(image, moment)

    def _complain(self, problem: str, text: str) -> None:
        if self._complaints.passes(problem):
            self.get_logger().error(text)

    # ---- watching

    def _watch_camera(self) -> None:
        """Once a second: follow the publishers' QoS, tell of a silent camera (once) and of dropped images."""
        camera = self._camera
        if camera is None:
            return
        camera.match_publishers()
        self._report_drops(camera.counts)
        if camera.silence >= _LISTEN_AGAIN:
            camera.listen()
        limit = parameters.value(self, "silence_warning")
        if camera.silence < min(1.0, limit or 1.0):
            self._silence_reported = False
        elif limit and camera.silence >= limit and not self._silence_reported:
            self._silence_reported = True
            self.get_logger().warning(f"no image for {camera.silence:.0f} s: {describe_silence(self, camera)}")

    def _report_drops(self, counts: Counts) -> None:
        if counts.dropped > self._dropped_reported and self._complaints.passes("dropped"):
            self.get_logger().warning(
                f"images come faster than they are tracked: {counts.dropped - self._dropped_reported} dropped, {counts}"
            )
            self._dropped_reported = counts.dropped


def _reason(error: Exception) -> str:
    """One line: our own errors say everything in their text, others need their type as well."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no details"
    return text if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"


def main(arguments: list[str] | None = None, pipeline_factory: PipelineFactory = Pipeline.load) -> int:
    """Run the node until it is interrupted; 2 when it cannot start."""
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
    executor = SingleThreadedExecutor()  # the events executor's spin() delivers nothing in the Kilted wheels
    executor.add_node(node)
    if parameters.value(node, "autostart"):
        node.start()
    while not stop.is_set():
        executor.spin_once(timeout_sec=_SIGNAL_CHECK)
    node.close()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
