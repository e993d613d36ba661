"""Multi-object tracking: images and their times in, tracks with lasting ids out. Needs no ROS.

What a Python program needs is here under one name: :func:`load` a pipeline, :func:`read` images, and the classes that
go in and come out. Importing this package imports nothing else: each name is fetched from its module when it is first
used, so that a program waits for OpenCV, ONNX Runtime and torch only where it uses them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdtrack_model.checkpoints import CheckpointError
    from qdtrack_model.config import ConfigError, FairMotConfig, QuasiDenseConfig, TaoConfig
    from qdtrack_model.data.sources import SourceError
    from qdtrack_model.pipeline import Pipeline
    from qdtrack_model.runtimes import Options, RuntimeUnavailable
    from qdtrack_model.structures import Array, Detections, Tracks, TrackState
    from qdtrack_model.tracking import FairMotTracker, QuasiDenseTracker, TaoTracker

__all__ = [
    "CheckpointError", "ConfigError", "Detections", "FairMotConfig", "FairMotTracker", "Options", "Pipeline",
    "QuasiDenseConfig", "QuasiDenseTracker", "RuntimeUnavailable", "SourceError", "TaoConfig", "TaoTracker",
    "TrackState", "Tracks", "load", "read",
]  # fmt: skip

_MODULES = {
    "CheckpointError": "checkpoints",
    "ConfigError": "config",
    "Detections": "structures",
    "FairMotConfig": "config",
    "FairMotTracker": "tracking",
    "Options": "runtimes",
    "Pipeline": "pipeline",
    "QuasiDenseConfig": "config",
    "QuasiDenseTracker": "tracking",
    "RuntimeUnavailable": "runtimes",
    "SourceError": "data.sources",
    "TaoConfig": "config",
    "TaoTracker": "tracking",
    "TrackState": "structures",
    "Tracks": "structures",
}

if not TYPE_CHECKING:  # a type checker that sees this takes any name for one that exists

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def load(
    weights: str | Path = "street", options: Options | None = None, tracker: Mapping[str, Any] | None = None
) -> Pipeline:
    """A pipeline for one camera, whose ``process(image, time)`` gives the tracks of each image.

    Args:
        weights: name of weights, shipped (``street``, ``plaza``, ``street_qdtrack``) or public (``qdtrack-mot17``;
            fetched on first use), or path of weights or of an exported graph.
        options: runtime, precision and threads; the best runtime that is present when None.
        tracker: values that replace those tuned for the weights, by their names in the tracker's configuration:
            ``{"memory_span": 2.0}`` (seconds); ``{"kind": "fairmot"}`` is another tracker.

    Raises:
        CheckpointError: no such weights, or a file that cannot be used.
        ConfigError: an unknown key for the tracker, or a value out of range.
        RuntimeUnavailable: the runtime is not installed, or what it needs is not there.
    """
    from qdtrack_model.pipeline import Pipeline

    return Pipeline.load(weights, options, tracker)


def read(path: str | Path, topic: str | None = None) -> Iterator[tuple[Array, float]]:
    """The images of a video, a folder of images (MOTChallenge sequences too) or a ROS 2 bag, in order.

    Args:
        path: what to read.
        topic: image topic, for bags with several.

    Yields:
        Each image, (H, W, 3) BGR uint8, and its time in seconds, which grows from image to image. What cannot be
        decoded is left out.

    Raises:
        SourceError: nothing there, or nothing to read in it; with the first image.
    """
    from qdtrack_model.data.sources import open_source

    with open_source(path, topic) as source:
        for frame in source:
            yield frame.image, frame.time
