"""One camera's way through the node: from its messages to what is published, around the network that all share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from time import perf_counter

from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from qdtrack_model.boxes import clip_boxes
from qdtrack_model.config import TrackerConfig
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.sensors.attention import Attention
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.sensors.stamps import Order, StampOrder
from qdtrack_model.structures import Array, Detections, Tracks
from qdtrack_model.tracking.handover import Handover
from qdtrack_ros import parameters
from qdtrack_ros.input.camera import Camera
from qdtrack_ros.input.silence import describe_silence
from qdtrack_ros.input.source_image import Decode, ImageMessage, SourceImage
from qdtrack_ros.input.stamps import stamp_nanoseconds, stamp_seconds
from qdtrack_ros.input.video import VideoInput, header_of, is_video
from qdtrack_ros.operation.diagnostics import read_camera
from qdtrack_ros.operation.judgement import CameraReading
from qdtrack_ros.operation.monitor import Monitor
from qdtrack_ros.operation.snapshot import Kept, Snapshot
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.labels import ClassSource
from qdtrack_ros.output.publishers import OutputOptions, Publishers
from qdtrack_ros.reason import reason
from qdtrack_ros.showing import Showing
from qdtrack_ros.throttle import Throttle
from qdtrack_ros.worker import Worker
from qdtrack_ros.world.ego_motion import ByImage, EgoMotion, UnknownMotion
from qdtrack_ros.world.objects import Objects
from qdtrack_ros.world.world import World

_LISTEN_AGAIN = 5.0  # seconds of silence after which both of the camera's topics are listened to again


@dataclass(frozen=True, eq=False)
class Delivered:
    """An image that came, for which camera, and when [ns since 1970]."""

    camera: CameraTracker
    message: ImageMessage
    arrival: int


@dataclass(frozen=True, eq=False)
class Accepted:
    """An image to be tracked.

    Args:
        header: of its message.
        image: its pixels.
        moment: the time for the tracker [s].
        kept: what was kept of it for snapshots.
        timings: seconds that each stage took so far.
        ready: when it was decoded, by ``perf_counter``.
    """

    header: Header
    image: SourceImage
    moment: float
    kept: list[Kept]
    timings: dict[str, float]
    ready: float


class CameraTracker:
    """A camera, the tracker that remembers what it saw, and what is published for it.

    Lives as long as the node is configured; :meth:`begin` and :meth:`end` are its activation.

    Args:
        node: owner of subscriptions and publishers.
        name: of one camera of several, in its topics and log lines; "" where there is one alone.
        pipeline: brings the settings of the tracker.
        source: of the classes.
        transport: of its images, as of :class:`Camera`.
        depth: whether there are depth images beside the images.
        handover: what all cameras share where ids hold over all of them.
        snapshot: keeps the latest images.
        world: what is known of the robot around the cameras.
        first_id: the first that was not given before in this run of the node.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        pipeline: Pipeline,
        source: ClassSource,
        transport: str,
        depth: bool,
        handover: Handover | None,
        snapshot: Snapshot,
        world: World,
        first_id: int,
    ) -> None:
        self.name = name
        self.camera: Camera | None = None
        self.tracker = pipeline.new_tracker()
        self.tracker.reset(first_id)
        self._attention = Attention(
            name,
            parameters.value(node, "cameras"),
            parameters.value(node, "ignore"),
            parameters.value(node, "classes"),
            pipeline.classes,
            parameters.value(node, "max_rate"),
        )
        space = depth or world.ground is not None
        self.publishers = Publishers(node, f"~/{name}/" if name else "~/", source, space)
        self.monitor = Monitor()
        self._transport = transport
        self._depth = depth
        self._handover = handover
        self._tracking = threading.Lock()  # held while tracks change
        self._failing = threading.Lock()  # any stage can fail
        self._node = node
        self._snapshot = snapshot
        self._world = world
        self._logger = node.get_logger()
        self._network = pipeline.runtime.config
        self._order = StampOrder()
        self._video = VideoInput()
        self._complaints = Throttle(seconds=5.0)
        self._silence_reported = False
        self._dropped_reported = 0
        self._showing: Showing | None = None
        self._ego_motion: EgoMotion | None = None

    # ---- activation, in the executor's thread

    def begin(self, worker: Worker[CameraTracker, Delivered], stamp: Header, threshold: float) -> None:
        """Start afresh and listen to the camera; its images go to ``worker``."""

        def deliver(message: ImageMessage) -> None:
            counts.received += 1
            arrival = time.time_ns()
            if is_video(message):
                video.add(message, arrival)
            if not attention.takes(stamp_nanoseconds(header_of(message)) or arrival):
                counts.skipped += 1
            elif not worker.offer(self, Delivered(self, message, arrival)):
                counts.dropped += 1

        def count_lost(number: int) -> None:
            counts.lost += number

        self._forget()
        self._order = StampOrder()
        self._ego_motion = self._world.ego_motion()
        self.monitor = Monitor()
        counts, attention = self.monitor.counts, self._attention
        video = self._video = VideoInput()
        self._silence_reported, self._dropped_reported = False, 0
        self.publishers.begin(stamp, threshold)
        self.camera = Camera(self._node, self.name, self._transport, deliver, count_lost, self._depth)
        self._showing = Showing(self.camera, Objects(self._world), self.publishers, counts, self._complain)
        self.camera.listen()
        self._logger.info(self._named(f"active: waiting for images on {' or '.join(self.camera.topics.values())}"))

    def end(self) -> bool:
        """Stop listening; False if something is left that did not end."""
        with self._tracking:
            camera, self.camera = self.camera, None
            showing, self._showing = self._showing, None
        ended = showing is None or showing.close()
        if camera is not None:
            camera.close()
            self._logger.info(self._named(f"stopped: {self.monitor.counts}"))
        return ended

    def close(self) -> None:
        """Remove the publishers."""
        self.publishers.close()

    # ---- images, in the worker's threads: one accepts the next image while another finishes the one before

    def accept(self, delivered: Delivered, decode: Decode | None) -> Accepted | None:
        """The image in a message if it is to be tracked; None, counted, when it is repeated, late or unusable.

        ``decode`` decodes JPEGs on the GPU, where one does.
        """
        message = delivered.message
        wait = (time.time_ns() - delivered.arrival) * 1e-9
        packets = self._video.take(message) if is_video(message) else []
        kept = self._keep(delivered, packets)
        started = perf_counter()
        try:
            image = self._read(message, packets, decode)
        except InvalidImage as error:
            self._count_unusable(error.problem, f"image not used: {error}")
            return None
        finally:
            self.monitor.counts.interruptions = self._video.interruptions
        header = header_of(message)
        moment = self._moment(header)
        if moment is None:
            return None
        ready = perf_counter()
        return Accepted(header, image, moment, kept, {"wait": wait, "decode": ready - started}, ready)

    def _read(
        self, message: ImageMessage, packets: list[tuple[ImageMessage, int]], decode: Decode | None
    ) -> SourceImage:
        if packets:
            return SourceImage.decoded(message, self._video.picture(packets))
        here = isinstance(self._ego_motion, ByImage)  # it looks at the pixels, too
        return SourceImage.read(message, self._network.input_size, None if here else decode)

    def _keep(self, delivered: Delivered, packets: list[tuple[ImageMessage, int]]) -> list[Kept]:
        """Keep an image, whatever becomes of it: one that cannot be tracked is what a bug report is about.

        Of a video the packets before it that were not tracked are kept, too.
        """
        assert self.camera is not None
        topic = self.camera.topic_of(delivered.message)
        kept = [Kept(topic, arrival, one) for one, arrival in packets or [(delivered.message, delivered.arrival)]]
        if self.camera.info is not None:
            kept.append(Kept(self.camera.info_topic, delivered.arrival, self.camera.info))
        if self.camera.depth is not None and self.camera.depth.latest is not None:
            kept.append(Kept(self.camera.depth.topic, delivered.arrival, self.camera.depth.latest))
        self._snapshot.keep(self.name, kept)
        return kept

    def _moment(self, header: Header) -> float | None:
        """The time of an image for the tracker [s], or None when it is to be left out."""
        stamp = stamp_nanoseconds(header)
        if stamp == 0:
            self._complain("no stamp", "images come without a stamp: the time of their arrival is used for tracking")
            return time.monotonic()  # the node's clock may be set back, and in a simulation stand still
        order = self._order.judge(stamp)
        if order is Order.REPEATED:
            self.monitor.counts.repeated += 1
            return None
        if order is Order.LATE:
            self.monitor.counts.late += 1
            return None
        if order is Order.BACK:
            # The tracker forgets on its own, and its ids go on: nobody sees an old id on a new object.
            self.publishers.reset()
            self._world.went_back()
            if self._complaints.passes("stamps went back"):
                self._logger.warning(self._named("stamps went back: all tracks are forgotten"))
        return stamp_seconds(header)

    def finish(self, accepted: Accepted, detections: Detections, options: OutputOptions) -> None:
        """Track an image further and publish it."""
        started = perf_counter()
        detections = accepted.image.to_source(detections, self._network.clip_boxes)
        detections = self._attention.without_ignored(detections, accepted.image.size)
        # Before tracks are held: what it waits for comes through the executor, which asks for tracks once a second.
        motion = self._motion(accepted, detections, options.rectified)
        with self._tracking:
            if self.camera is None or self._showing is None:
                return  # inference took so long that the node was deactivated meanwhile
            tracks, lost = self._track(detections, accepted.moment, motion, options.lost)
            accepted.timings["track"] = perf_counter() - started
            frame = self._published(accepted, tracks, lost, options)
            self._showing.offer(frame, options)
        self.monitor.counts.tracked += 1

    def _published(self, accepted: Accepted, tracks: Tracks, lost: Tracks, options: OutputOptions) -> TrackedFrame:
        assert self.camera is not None
        tracked = perf_counter()
        frame = TrackedFrame(
            header=accepted.header,
            image=accepted.image,
            tracks=_clipped(self._attention.told(tracks, options.min_score), accepted.image.size),
            lost=_clipped(self._attention.told(lost, options.min_score), accepted.image.size),
            info=self.camera.info,
        )
        self.publishers.publish(frame, options)
        accepted.kept.append(
            Kept(self.publishers.tracks_topic, time.time_ns(), self.publishers.tracks_maker(frame, options))
        )
        self.monitor.seen = len(tracks)
        accepted.timings["publish"] = perf_counter() - tracked
        self.monitor.add(accepted.timings, self._age(accepted.header))
        return frame

    def _age(self, header: Header) -> float | None:
        """Seconds from an image's stamp until now, by the node's clock; None without a stamp."""
        stamp = stamp_nanoseconds(header)
        return (self._node.get_clock().now().nanoseconds - stamp) * 1e-9 if stamp else None

    def _motion(self, accepted: Accepted, detections: Detections, rectified: bool) -> Array | None:
        """The camera's own motion since the image before, where that is asked for and known."""
        camera, image = self.camera, accepted.image
        if self._ego_motion is None or camera is None:
            return None
        try:
            return self._ego_motion(
                accepted.header, image, detections.boxes, lambda: camera.model(rectified, image.size)
            )
        except UnknownMotion as error:
            self.monitor.counts.without_motion += 1
            self._complain("ego_motion", f"how the camera turned is not known: {error}")
            return None

    def _track(self, detections: Detections, moment: float, motion: Array | None, lost: bool) -> tuple[Tracks, Tracks]:
        """The tracks that are seen and, if ``lost`` are wanted, those that are remembered."""
        tracks = self.tracker.update(detections, moment, motion)
        if self._handover is None:
            return tracks, self.tracker.remembered() if lost else Tracks.empty()
        tracks, remembered = self._handover.update(self.name, tracks, self.tracker.remembered(), moment)
        return tracks, remembered if lost else Tracks.empty()

    def fail(self, error: Exception) -> None:
        """Count and report an image that could not be tracked through no fault of its own."""
        if self._node.context.ok():  # at the end of the process publishing fails, and that is no news
            text = f"image not tracked: {reason(error)}"
            with self._failing:
                self.monitor.counts.failed += 1
            self.monitor.failure = text
            self._complain(type(error).__name__, text)

    def _count_unusable(self, problem: str, text: str) -> None:
        self.monitor.counts.unusable += 1
        self.monitor.unusable = text
        self._complain(problem, text)

    # ---- from any thread

    def reset(self) -> None:
        """Forget all objects: from now on what is published has ids that were never given before."""
        with self._tracking:
            self._forget()
            self.publishers.reset()

    def configure(self, config: TrackerConfig) -> None:
        """Track on with other settings."""
        with self._tracking:
            self.tracker.configure(config)  # type: ignore[arg-type]  # the kind never changes

    def remembered(self) -> int:
        """How many tracks are remembered that the latest image did not show."""
        with self._tracking:
            return len(self.tracker.remembered())

    def _forget(self) -> None:
        self.tracker.reset(self.tracker.next_id)
        if self._handover is not None:
            self._handover.reset(self.name)

    # ---- watching, in the executor's thread

    def watch(self, silence_limit: float) -> None:
        """Once a second: follow the publishers' QoS, tell of a silent camera (once) and of dropped images."""
        camera = self.camera
        if camera is None:
            return
        camera.match_publishers()
        if camera.depth is not None:
            camera.depth.listen(self.publishers.wants_space)
        counts = self.monitor.counts
        if counts.dropped > self._dropped_reported and self._complaints.passes("dropped"):
            dropped = counts.dropped - self._dropped_reported
            self._logger.warning(self._named(f"images come faster than they are tracked: {dropped} dropped, {counts}"))
            self._dropped_reported = counts.dropped
        if camera.silence >= _LISTEN_AGAIN:
            camera.listen()
        if camera.silence < min(1.0, silence_limit or 1.0):
            self._silence_reported = False
        elif silence_limit and camera.silence >= silence_limit and not self._silence_reported:
            self._silence_reported = True
            text = describe_silence(self._node, camera)
            self._logger.warning(self._named(f"no image for {camera.silence:.0f} s: {text}"))

    def reading(self, queue: int, silence_warning: float) -> CameraReading | None:
        """What is known of the camera now, to be asked once a second; None while it is not listened to.

        Args:
            queue: images of it that wait.
            silence_warning: seconds of silence [s] after which it is looked into; 0 for never.
        """
        camera = self.camera
        if camera is None:
            return None
        return read_camera(self._node, camera, self.monitor, queue, self.remembered(), silence_warning)

    def _complain(self, problem: str, text: str) -> None:
        if self._complaints.passes(problem):
            self._logger.error(self._named(text))

    def _named(self, text: str) -> str:
        return f"{self.name}: {text}" if self.name else text


def _clipped(tracks: Tracks, size: tuple[int, int]) -> Tracks:
    """The tracks with the part of their boxes that lies in the image."""
    return replace(tracks, boxes=clip_boxes(tracks.boxes, size)) if len(tracks) else tracks
