"""The way of all cameras' images through the network and the trackers, one after the other.

Where the network is on a GPU the next images are decoded and fitted in, and the ones before tracked and published,
while it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

from rclpy.impl.rcutils_logger import RcutilsLogger

from qdtrack_model.pipeline import Fitted
from qdtrack_model.structures import Detections
from qdtrack_ros.camera_tracker import Accepted, CameraTracker, Delivered
from qdtrack_ros.network import Network
from qdtrack_ros.output.publishers import OutputOptions
from qdtrack_ros.reason import reason
from qdtrack_ros.throttle import Throttle
from qdtrack_ros.worker import PATIENCE, Worker

_Image: TypeAlias = tuple[CameraTracker, Accepted]
_Seen: TypeAlias = tuple[CameraTracker, Accepted, Detections]


@dataclass(frozen=True, eq=False)
class _Taken:
    """Images that go through the network together, and what it is given of them."""

    images: list[_Image]
    fitted: Fitted


class Processing:
    """Takes images of cameras in turn or in batches from messages to published tracks; lives while the node is active.

    Args:
        network: that all cameras share.
        cameras: whose images are to come.
        capacity: images of each that may wait.
        batch: images that go through the network together.
        options: gives what shapes the outputs now.
        log: takes what goes wrong in the node itself.

    Attributes:
        worker: takes the images.
    """

    def __init__(
        self,
        network: Network,
        cameras: Sequence[CameraTracker],
        capacity: int,
        batch: int,
        options: Callable[[], OutputOptions],
        log: RcutilsLogger,
    ) -> None:
        self._network = network
        self._options = options
        self._log = log
        self._complaints = Throttle(seconds=5.0)
        self._decoders = ThreadPoolExecutor(batch, "qdtrack-decoder")  # they start with the first batch
        stages = (self._detect, self._finish)
        # Beside a network on the CPU decoding takes from it what it gains, and images are taken in hand too early.
        hands = 2 if network.pipeline.runtime.on_gpu else 1
        self.worker: Worker[CameraTracker, Delivered] = Worker(
            self._accept, cameras, capacity, batch, then=stages, hands=hands, report=self._report
        )

    def trouble(self, timeout: float) -> str:
        """What is said of an inference that has not answered for ``timeout`` seconds; "" where it does, or for 0."""
        busy = self.worker.busy
        if not timeout or busy <= timeout:
            return ""
        return f"inference has not answered for {busy:.0f} s, longer than inference_timeout ({timeout:g} s)"

    def close(self, hung: bool) -> bool:
        """Finish the images in hand and end the threads; False if they did not end, which is not waited for if hung."""
        ended = self.worker.close(0.0 if hung else PATIENCE)
        self._decoders.shutdown(wait=False)
        return ended

    def _accept(self, items: list[Delivered]) -> _Taken | None:
        """The images of messages, each of another camera, that are to be tracked, fitted in; None where none is."""
        each = map if len(items) == 1 else self._decoders.map  # of one camera alone no thread is worth its while
        accepted = each(self._accepted, items)
        images = [(one.camera, image) for one, image in zip(items, accepted, strict=True) if image is not None]
        if not images:
            return None
        try:
            return _Taken(images, self._network.fit([image.image.pixels for _, image in images]))
        except Exception as error:  # images must not end the node
            _fail(images, error)
            return None

    def _accepted(self, one: Delivered) -> Accepted | None:
        """The image of a message if it is to be tracked; an error is the camera's to count."""
        try:
            return one.camera.accept(one, self._network.decode)
        except Exception as error:
            one.camera.fail(error)
            return None

    def _detect(self, taken: _Taken | None) -> list[_Seen]:
        """What the network sees in them."""
        if taken is None:
            return []
        begun = perf_counter()
        try:
            found = self._network.infer(taken.fitted)
        except Exception as error:
            _fail(taken.images, error)
            return []
        for _, image in taken.images:
            image.timings["wait"] += begun - image.ready - taken.fitted.seconds
            image.timings.update(self._network.pipeline.timings)
        return [(*one, detections) for one, detections in zip(taken.images, found, strict=True)]

    def _finish(self, seen: list[_Seen]) -> None:
        """Track and publish it."""
        for camera, image, detections in seen:
            try:
                camera.finish(image, detections, self._options())
            except Exception as error:
                camera.fail(error)

    def _report(self, error: Exception) -> None:
        if self._complaints.passes(type(error).__name__):
            self._log.error(f"images were lost to an error in the node: {reason(error)}")


def _fail(images: list[_Image], error: Exception) -> None:
    for camera, _ in images:
        camera.fail(error)
