"""The tracker node: images of one camera or several in, tracks out; a managed node that can also start itself.

``ros2 run qdtrack tracker_node``, or ``python -m qdtrack_ros.node``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header

from qdtrack_model.config import ConfigError, TrackerConfig, architecture_of, retuned
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import default_weights
from qdtrack_model.tracking.handover import Handover
from qdtrack_ros import parameters
from qdtrack_ros.camera_tracker import CameraTracker
from qdtrack_ros.logs import Progress, forwarded
from qdtrack_ros.network import Loading, Network, PipelineFactory, loader
from qdtrack_ros.operation.about import about
from qdtrack_ros.operation.diagnostics import Diagnostics, read_limits, read_node
from qdtrack_ros.operation.judgement import CameraReading, Limits
from qdtrack_ros.operation.services import Services
from qdtrack_ros.operation.snapshot import Snapshot
from qdtrack_ros.output.labels import ClassSource
from qdtrack_ros.output.publishers import OutputOptions
from qdtrack_ros.processing import Processing
from qdtrack_ros.reason import reason
from qdtrack_ros.throttle import Throttle
from qdtrack_ros.transitions import SUCCESS, Abandoned, Executor, Fault, ManagedNode
from qdtrack_ros.tuning import choose_gpu, tune_process
from qdtrack_ros.worker import PATIENCE, left_behind
from qdtrack_ros.world.world import World

_SIGNAL_CHECK = 0.1  # seconds after which a signal is noticed at the latest
_LAST_WAIT = 1.0  # seconds that threads are given to end before the process does
_FAULT_STATUS = 3  # of the process, where a fault is to end it


class TrackerNode(ManagedNode):
    """Configure loads and warms up, activate subscribes and publishes; after a failure the node is unconfigured.

    Args:
        pipeline_factory: builds the pipeline at every configure; the default loads the weights.
        arguments: passed on to rclpy's node (name, parameter overrides and so on).

    Attributes:
        exit_status: with which the process is to end because of a fault; None while it may go on.

    Raises:
        ConfigError: a parameter given at the start cannot be used.
    """

    def __init__(self, pipeline_factory: PipelineFactory = Pipeline.load, **arguments: Any) -> None:
        super().__init__("tracker", **arguments)
        self.exit_status: int | None = None
        self._pipeline_factory = pipeline_factory
        self._network: Network | None = None
        self._loading: Loading | None = None
        self._progress = Progress()
        self._ending = False
        self._source = ClassSource()
        self._cameras: list[CameraTracker] = []
        self._handover: Handover | None = None
        self._world: World | None = None
        self._first_id = 0  # of all ids the first that was not given yet in this run
        self._processing: Processing | None = None
        self._fault = ""  # why the node is on its way to the error state
        self._hung = ""  # what is said of an inference that does not answer
        self._in_use = False  # whether a thread that was left behind may still use the network
        try:
            parameters.declare(self)
        except Exception:
            self.destroy_node()  # else it would stay in the graph, half made
            raise
        choose_gpu(parameters.value(self, "gpu"))
        self._snapshot = Snapshot(folder=parameters.value(self, "snapshot_folder"))
        self._options = self._apply({})
        self.add_on_set_parameters_callback(self._on_set_parameters)
        if hasattr(self, "add_post_set_parameters_callback"):
            self.add_post_set_parameters_callback(self._obey)
        self._diagnostics = Diagnostics(self)
        self._requests = Services(
            self, lambda: self._cameras, self._snapshot, lambda: about(self, self._diagnostics.latest)
        )
        # Not the node's clock: a silent camera must be noticed also where simulated time stands still.
        self._timer = self.create_timer(1.0, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # ---- parameters

    def _on_set_parameters(self, new: list[Parameter[Any]]) -> SetParametersResult:
        """Whether these values can be taken; where rclpy calls nothing afterwards, they are also obeyed here."""
        refusal = parameters.refusal(new, self.state)
        if refusal:
            return SetParametersResult(successful=False, reason=refusal)
        try:
            self._retuned(new)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not hasattr(self, "add_post_set_parameters_callback"):
            self._obey(new)
        return SetParametersResult(successful=True)

    def _obey(self, new: list[Parameter[Any]]) -> None:
        """Go on with new values."""
        config = self._retuned(new)
        if config is not None:
            for camera in self._cameras:
                camera.configure(config)
        options = self._apply({parameter.name: parameter.value for parameter in new})
        if options.min_score != self._options.min_score:
            for camera in self._cameras:
                camera.publishers.publish_labels(self._stamped_now(), options.min_score)
        self._options = options

    def _retuned(self, new: list[Parameter[Any]]) -> TrackerConfig | None:
        """The trackers' settings with new ones, None where these are none; ConfigError where they do not fit."""
        settings = parameters.tracker_settings({parameter.name: parameter.value for parameter in new})
        cameras = self._cameras  # a transition may take them away meanwhile
        return retuned(cameras[0].tracker.config, settings) if settings and cameras else None

    def _apply(self, new: Mapping[str, Any]) -> OutputOptions:
        """Obey the ``new`` values, which rclpy may not have stored yet, and give the options of the outputs."""

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

    def configure_(self) -> None:
        """Load the weights, warm the network up and create the publishers.

        Raises:
            Abandoned: the node is to end; what was loading is left behind.
            ConfigError: parameters that do not fit together.
        """
        self._world = World(self)
        weights = parameters.value(self, "weights")
        weights = default_weights(parameters.value(self, "runtime")) if weights == "auto" else weights
        load = loader(self, weights, self._pipeline_factory, lambda: not self._ending)
        self._progress.begin()
        try:
            self._loading = loading = Loading(load)
            if self._ending:
                raise Abandoned
            pipeline = loading.result()
        finally:
            self._loading = None
            self._progress.end()
        self._in_use = False
        limit, rebuilds = parameters.value(self, "fault_limit"), parameters.value(self, "on_fault") == "rebuild"
        self._network = Network(pipeline, load, limit, rebuilds, self._on_fault, self.get_logger())
        self._source = self._source.followed_by(pipeline.classes, architecture_of(pipeline.runtime.config), weights)
        span, score = parameters.value(self, "handover_span"), parameters.value(self, "handover_score")
        self._handover = Handover(span, score, self._first_id) if span else None
        transport, depth = parameters.value(self, "image_transport"), parameters.value(self, "depth")
        shared = (pipeline, self._source, transport, depth, self._handover, self._snapshot, self._world, self._first_id)
        names = parameters.value(self, "cameras") or [""]
        self._cameras = [CameraTracker(self, name, *shared) for name in names]

    def activate_(self) -> None:
        """Start the worker and subscribe to the cameras."""
        capacity, batch = parameters.value(self, "queue_size"), parameters.value(self, "batch")
        self._fault = self._hung = ""
        assert self._network is not None
        self._processing = Processing(
            self._network, self._cameras, capacity, batch, lambda: self._options, self.get_logger()
        )
        for camera in self._cameras:
            camera.begin(self._processing.worker, self._stamped_now(), self._options.min_score)

    def deactivate_(self) -> None:
        """Finish the images in hand, then stop listening and publishing.

        Raises:
            Fault: one brought this about, or a thread had to be left behind.
        """
        fault = self._fault
        self._fault = ""
        left = self._stop()
        if fault or left:
            raise Fault(fault or f"{left} did not end within {PATIENCE:g} s: end the process")

    def abandon(self) -> None:
        """Leave a network that is loading to itself."""
        self._ending = True
        loading = self._loading
        if loading is not None:
            loading.abandon()

    def close(self) -> None:
        """Stop the worker and give everything back, whatever of it fails; does nothing where nothing is held."""
        with ExitStack() as steps:  # the last one comes first
            steps.callback(self._unload)
            for camera in self._cameras:
                steps.callback(camera.close)
            steps.callback(self._snapshot.clear)
            steps.callback(self._requests.close)
            steps.callback(self._stop)

    def start(self) -> None:
        """What ``autostart`` does, but at once: configure, then activate. A failure is logged."""
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _unload(self) -> None:
        counters = [camera.tracker for camera in self._cameras]
        counted = [one.next_id for one in (*counters, self._handover) if one is not None]
        self._first_id = max([self._first_id, *counted])
        network, self._network, self._cameras, self._handover = self._network, None, [], None
        world, self._world = self._world, None
        if world is not None:
            world.close()
        if network is not None and not self._in_use:
            network.close()

    def _stop(self) -> str:
        """Stop listening and end the threads; which of them were left behind, if any."""
        left = []
        processing, self._processing = self._processing, None
        if processing is not None and not processing.close(hung=bool(self._hung)):
            left.append("inference")
            self._in_use = True
        self._hung = ""
        left += [f"what is shown of camera {camera.name!r}" for camera in self._cameras if not camera.end()]
        text = " and ".join(left)
        if text:
            self.get_logger().error(f"{text} did not end in time and is left to itself until the process ends")
        return text

    def _stamped_now(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg())

    # ---- faults

    def _on_fault(self, why: str) -> None:
        """End the process or go to the error state, as ``on_fault`` says; from any thread."""
        if self._fault or self.exit_status is not None:
            return
        if parameters.value(self, "on_fault") == "exit":
            self.get_logger().fatal(f"{why}: ending with status {_FAULT_STATUS}")
            self.exit_status = _FAULT_STATUS
        else:
            self._fault = why
            self.begin("deactivate")  # there is no other way from active to the error state

    def _look_for_faults(self, processing: Processing) -> None:
        if not processing.worker.alive:
            self._on_fault("the thread that tracks has ended")
            return
        hung = processing.trouble(parameters.value(self, "inference_timeout"))
        if hung and not self._hung:
            self.get_logger().error(hung)
        self._hung = hung
        if hung and parameters.value(self, "on_fault") == "exit":
            self._on_fault(hung)

    # ---- watching

    def hear(self, text: str) -> None:
        """Take in what the model side says it is doing."""
        self._progress.hear(text)

    def _watch(self) -> None:
        """Once a second: look after every camera, and tell how all fare."""
        limits = read_limits(self)
        readings: dict[str, CameraReading | None] = dict.fromkeys(parameters.value(self, "cameras") or [""])
        with self.resting() as rests:
            if rests and self._processing is not None:
                self._look_for_faults(self._processing)
                readings |= {camera.name: self._look_after(camera, limits) for camera in self._cameras}
        network, pipeline = self._network, None
        trouble = self._hung
        if network is not None:
            pipeline, trouble = network.pipeline, trouble or network.down
        told = read_node(self.state, self.failure, self._progress.text, trouble, self._source.weights, pipeline)
        self._diagnostics.publish(told, readings, limits)

    def _look_after(self, camera: CameraTracker, limits: Limits) -> CameraReading | None:
        camera.watch(limits.silence_warning)
        queue = self._processing.worker.waiting(camera) if self._processing is not None else 0
        return camera.reading(queue, limits.silence_warning)


def _spin(node: TrackerNode, stop: threading.Event) -> None:
    """Start the node where it starts itself, then serve it until ``stop`` is set or a fault is to end it."""
    executor = Executor()  # rclpy's events executor delivers nothing with spin() in the Kilted wheels
    executor.add_node(node)
    if parameters.value(node, "autostart"):
        node.begin("configure", "activate")
    complaints = Throttle(seconds=5.0)
    while not stop.is_set() and rclpy.ok() and node.exit_status is None:
        try:
            executor.spin_once(timeout_sec=_SIGNAL_CHECK)
        except Exception as error:  # one callback's fault: it must not end the node
            if complaints.passes(type(error).__name__):
                node.get_logger().error(f"a callback failed: {reason(error)}")


def _end(node: TrackerNode) -> int:
    """Give everything back, within seconds, and say with which status the process is to end."""
    node.settle(PATIENCE)
    try:
        node.close()
    except Exception as error:
        node.get_logger().error(f"not everything was given back: {reason(error)}")
    status = node.exit_status or 0
    left = left_behind(_LAST_WAIT)
    if left:
        # They are in native code: Python would wait for them, or take away what they stand on.
        node.get_logger().warning(f"ending although there are still {', '.join(left)}")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    node.destroy_node()
    rclpy.try_shutdown()
    return status


def main(arguments: list[str] | None = None, pipeline_factory: PipelineFactory = Pipeline.load) -> int:
    """Run the node until it is interrupted; 2 when it cannot start, 3 after a fault that is to end it."""
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
    with forwarded(node.get_logger(), node.hear):
        _spin(node, stop)
        # Ctrl-C under a launch file may come twice: the second, on the way out of Python, would look like a crash.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        return _end(node)


if __name__ == "__main__":
    sys.exit(main())
