"""The way of an image to tracks: resize, network, back to source pixels, tracker. There is no second such path.

The node, the command line and the benchmarks all use :class:`Pipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qdtrack_model import tracking
from qdtrack_model.config import retuned
from qdtrack_model.fitting import Letterbox, Preprocessor
from qdtrack_model.sensors.registration import Registration
from qdtrack_model.structures import Array, Detections, Tracks
from qdtrack_model.tracking import Tracker

if TYPE_CHECKING:
    from qdtrack_model.runtimes import Options, Runtime
    from qdtrack_model.runtimes.cuda.fitting import GpuPreprocessor
    from qdtrack_model.runtimes.cuda.jpeg import GpuPicture
    from qdtrack_model.runtimes.interface import GpuImages


TimeUnit: TypeAlias = Literal["seconds", "frames"]
EgoMotion: TypeAlias = Literal["none", "image"]  # how a camera's own motion is found


@dataclass(frozen=True, eq=False)
class Fitted:
    """Images ready for the network.

    Args:
        batch: the network's input (B, height, width, 3), here or on the GPU; valid until the next but one is made.
        letterboxes: the way back for each image.
        seconds: that fitting them in took.
        pipeline: that they were fitted in for, and no other.
    """

    batch: Array | GpuImages
    letterboxes: list[Letterbox]
    seconds: float
    pipeline: Pipeline


class Pipeline:
    """Images and times in, tracks out, for one camera. For several, :meth:`detect` serves all and each has a tracker.

    Args:
        runtime: runs the network.
        tracker: remembers the objects of one camera.
        registration: finds the camera's motion between the images, by which the tracker's memory moves on; None where
            the camera stands, or its motion is not asked for.

    Attributes:
        timings: seconds that the last call took, by stage: ``preprocess``, ``network``, ``track``, and where the
            camera's motion is looked for ``register``.
    """

    def __init__(self, runtime: Runtime, tracker: Tracker, registration: Registration | None = None) -> None:
        self.runtime = runtime
        self.tracker = tracker
        self.registration = registration
        self.timings: dict[str, float] = {}
        self._preprocess: Preprocessor | GpuPreprocessor = Preprocessor(runtime.config)
        if runtime.takes_gpu_images:
            from qdtrack_model.runtimes.cuda.fitting import preprocessor

            self._preprocess = preprocessor(runtime.config)

    @classmethod
    def load(
        cls,
        weights: str | Path = "street",
        options: Options | None = None,
        tracker: Mapping[str, Any] | None = None,
        time: TimeUnit = "seconds",
        ego_motion: EgoMotion = "none",
    ) -> Pipeline:
        """Build a pipeline from weights or from an exported graph.

        Args:
            weights: name of weights, shipped or public (fetched on first use), or path of a file.
            options: how the network is run; the best runtime that is present when None.
            tracker: values that replace those tuned for the weights, by their name in the configuration of the
                tracker that the weights ask for (``QuasiDenseConfig``, ``TaoConfig`` or ``FairMotConfig``); ``kind``
                chooses another tracker, with its defaults and the weights' span of memory.
            time: what the tracker's times and those given to :meth:`process` are in; frames for benchmarks.
            ego_motion: ``image`` for a camera that turns: :meth:`process` finds its motion by the images.

        Raises:
            CheckpointError: no such weights, or a file that cannot be used; FetchError, a kind of it: public ones
                cannot be fetched.
            ConfigError: an unknown tracker key, a value out of range, or frames where the weights do not say how many
                of them are a second.
            RuntimeUnavailable: the runtime is not installed, or what it needs is not there.
        """
        from qdtrack_model import checkpoints, runtimes

        checkpoint = checkpoints.load(weights)
        if checkpoint.fresh:
            raise checkpoints.CheckpointError(
                f"{weights}: a start for training (--init), no more: {', '.join(checkpoint.fresh)} has learned nothing"
            )
        tuned = checkpoint.tracker.in_frames() if time == "frames" else checkpoint.tracker
        remembering = tracking.build(retuned(tuned, tracker or {}))  # first: to build a network can take minutes
        registration = Registration() if ego_motion == "image" else None
        return cls(runtimes.load(checkpoint, options), remembering, registration)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; ``Tracks.labels`` are indices into them."""
        return self.runtime.config.classes

    def process(self, image: Array, time: float) -> Tracks:
        """Track one image further.

        Args:
            image: (H, W, 3) BGR or (H, W) grey, uint8, of any size.
            time: in seconds, or as :meth:`load` was asked for; a time before the last one starts afresh.

        Returns:
            The tracks seen in this image, boxes in its pixels (sub-pixel).

        Raises:
            ValueError: the image has another shape or dtype, or no pixels, or the time is not finite or that of the
                image before. The pipeline stays usable.
        """
        [detections] = self.detect([image])
        return self.track(image, detections, time)

    def track(self, image: Array, detections: Detections, time: float) -> Tracks:
        """The second half of :meth:`process`: go on with what was detected in an image, by whomever."""
        detected = perf_counter()
        motion = None
        if self.registration is not None:
            motion = self.registration(image, (image.shape[1], image.shape[0]), detections.boxes)
            self.timings["register"] = perf_counter() - detected
        registered = perf_counter()
        tracks = self.tracker.update(detections, time, motion)
        self.timings["track"] = perf_counter() - registered
        return tracks

    def detect(self, images: Sequence[Array]) -> list[Detections]:
        """What the network sees in images that go through it together.

        Args:
            images: each (H, W, 3) BGR or (H, W) grey, uint8, of any size.

        Returns:
            The detections of each image in its own pixels (sub-pixel).

        Raises:
            ValueError: an image has another shape or dtype, or no pixels. The pipeline stays usable.
        """
        return self.infer(self.fit(images))

    @property
    def decodes(self) -> bool:
        """Whether :meth:`decode` may give pictures."""
        return self._preprocess.decodes

    def decode(self, content: bytes) -> GpuPicture | None:
        """A colour JPEG decoded on the GPU, to be given to :meth:`fit`; None where it has to be decoded elsewhere."""
        return self._preprocess.decode(content)

    def fit(self, images: Sequence[Array | GpuPicture]) -> Fitted:
        """The first half of :meth:`detect`: images, as there, made ready for the network.

        Those fitted in before may be in :meth:`infer` meanwhile, in another thread; not those before these.

        Raises:
            ValueError: an image has another shape or dtype, or no pixels.
        """
        started = perf_counter()
        batch, letterboxes = self._preprocess(images)  # type: ignore[arg-type]  # pictures on the GPU are its own
        return Fitted(batch, letterboxes, perf_counter() - started, self)

    def infer(self, fitted: Fitted) -> list[Detections]:
        """The second half of :meth:`detect`: what the network sees in what :meth:`fit` gave."""
        started = perf_counter()
        found = self.runtime.infer(fitted.batch)
        self.timings = {"preprocess": fitted.seconds, "network": perf_counter() - started}
        return [letterbox.to_source(one) for letterbox, one in zip(fitted.letterboxes, found, strict=True)]

    def new_tracker(self) -> Tracker:
        """A tracker for another camera: set as this pipeline's, with nothing in its memory."""
        return tracking.build(self.tracker.config)

    def reset(self) -> None:
        """Forget all objects; the next image starts a new sequence."""
        self.tracker.reset()
        if self.registration is not None:
            self.registration.reset()

    def close(self) -> None:
        """Release the runtime, and what fits images in for it."""
        self._preprocess.close()
        self.runtime.close()
