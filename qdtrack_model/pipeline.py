"""The way of an image to tracks: resize, network, back to source pixels, tracker. There is no second such path.

The node, the command line and the benchmarks all use :class:`Pipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import cv2
import numpy as np

from qdtrack_model import tracking
from qdtrack_model.boxes import box_area, clip_boxes
from qdtrack_model.config import ModelConfig, retuned
from qdtrack_model.sensors.registration import Registration
from qdtrack_model.structures import Array, Detections, Tracks
from qdtrack_model.tracking import Tracker

if TYPE_CHECKING:
    from qdtrack_model.runtimes import Options, Runtime


TimeUnit: TypeAlias = Literal["seconds", "frames"]
EgoMotion: TypeAlias = Literal["none", "image"]  # how a camera's own motion is found


def _check_image(image: Array) -> None:
    """Raise ValueError unless ``image`` is uint8, (H, W, 3) or (H, W), and not empty."""
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    expected = "expected uint8 of shape (height, width, 3) in BGR order, or (height, width) grey"
    if shape is None or dtype is None:
        raise ValueError(f"image: got {type(image).__name__}, {expected}")
    if dtype != np.uint8:
        raise ValueError(f"image: got dtype {dtype} with shape {shape}, {expected}")
    if len(shape) == 3 and shape[2] == 4:
        raise ValueError(f"image: got shape {shape} with 4 channels, {expected}; drop the alpha channel")
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        raise ValueError(f"image: got shape {shape}, {expected}")
    if 0 in shape:
        raise ValueError(f"image: got shape {shape}, which holds no pixels, {expected}")


@dataclass(frozen=True)
class Letterbox:
    """How one image was fitted in: source pixel edges times ``scale`` (x, y) are network-input pixel edges.

    ``clip`` says whether boxes end at the border of the image.
    """

    scale: tuple[float, float]
    source_size: tuple[int, int]  # width, height
    clip: bool

    def to_source(self, detections: Detections) -> Detections:
        """The detections in source pixels; those wholly outside the image are dropped."""
        boxes = detections.boxes / np.array([*self.scale, *self.scale], np.float32)
        clipped = clip_boxes(boxes, self.source_size)
        boxes = clipped if self.clip else boxes
        inside = box_area(clipped) > 0
        if not inside.all():
            detections, boxes = detections[inside], boxes[inside]
        return Detections(boxes, detections.scores, detections.labels, detections.embeddings)


def reduction_of(size: tuple[int, int], input_size: tuple[int, int]) -> int:
    """By how much (1, 2, 4, ...) an image is reduced before it is fitted in.

    Linear interpolation skips pixels when it shrinks to well below half. Halving first skips none, costs a tenth of
    averaging over areas of any size, and can be done by the decoder of a JPEG.

    Args:
        size: (width, height) of the image.
        input_size: (height, width) of the network's input.
    """
    scale, reduction = min(input_size[0] / size[1], input_size[1] / size[0]), 1
    while scale * reduction < 0.45:
        reduction *= 2
    return reduction


class _Canvas:
    """Memory for images that are fitted in.

    Attributes:
        pixels: of each of them, (N, height, width, 3).
        filled: how much of each, (width, height), is not padding.
    """

    def __init__(self, count: int, input_size: tuple[int, int], padding: tuple[int, int, int]) -> None:
        self.pixels = np.full((count, *input_size, 3), padding, np.uint8)
        self.filled = [(0, 0)] * count


class Preprocessor:
    """Fits images of any size into the network's input: aspect kept, padded at the bottom and right.

    Args:
        config: of the network.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.input_size = config.input_size
        self._clip, self._padding = config.clip_boxes, config.padding
        # Two in turn: the network may still read one.
        self._canvas, self._other = (_Canvas(0, self.input_size, self._padding) for _ in range(2))

    def __call__(self, images: Sequence[Array]) -> tuple[Array, list[Letterbox]]:
        """Fit images in, of one size or several.

        Args:
            images: each (H, W, 3) BGR or (H, W) grey, uint8.

        Returns:
            The network's input (B, height, width, 3), valid until the next call but one, and the way back for each
            image.

        Raises:
            ValueError: another shape or dtype, or no pixels.
        """
        for image in images:
            _check_image(image)
        self._canvas, self._other = self._other, self._canvas
        if len(images) > len(self._canvas.pixels):
            self._canvas = _Canvas(len(images), self.input_size, self._padding)
        letterboxes = [self._fit(image, place) for place, image in enumerate(images)]
        return self._canvas.pixels[: len(images)], letterboxes

    def _fit(self, image: Array, place: int) -> Letterbox:
        height, width = image.shape[:2]
        scale = min(self.input_size[0] / height, self.input_size[1] / width)
        # Never below one pixel: an image 4000 wide and 1 high is odd but valid.
        fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = self._canvas.pixels[place]
        if fitted != self._canvas.filled[place]:
            canvas[...] = self._padding
            self._canvas.filled[place] = fitted
        for _ in range(reduction_of((width, height), self.input_size).bit_length() - 1):
            image = cv2.resize(image, ((image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2))
        resized = cv2.resize(image, fitted)
        canvas[: fitted[1], : fitted[0]] = resized[:, :, None] if resized.ndim == 2 else resized
        # The sides were rounded to whole pixels, so that the exact scale differs a little between the axes.
        return Letterbox((fitted[0] / width, fitted[1] / height), (width, height), self._clip)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Images ready for the network.

    Args:
        batch: the network's input (B, height, width, 3), valid until the next but one is made.
        letterboxes: the way back for each image.
        seconds: that fitting them in took.
    """

    batch: Array
    letterboxes: list[Letterbox]
    seconds: float


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
        self._preprocess = Preprocessor(runtime.config)

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

    def fit(self, images: Sequence[Array]) -> Fitted:
        """The first half of :meth:`detect`: images, as there, made ready for the network.

        Those fitted in before may be in :meth:`infer` meanwhile, in another thread; not those before these.

        Raises:
            ValueError: an image has another shape or dtype, or no pixels.
        """
        started = perf_counter()
        batch, letterboxes = self._preprocess(images)
        return Fitted(batch, letterboxes, perf_counter() - started)

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
        """Release the runtime."""
        self.runtime.close()
