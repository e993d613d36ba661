"""Configuration of the trackers: frozen dataclasses whose key ``kind`` says which tracker it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from qdtrack_model.mappings import ConfigError, parse_value, replaced, require, require_range


@dataclass(frozen=True)
class QuasiDenseConfig:
    """The quasi-dense tracker (``tracking/quasi_dense.py``); all times are in the unit of the ``time`` given to it.

    The defaults are those of the paper, with times in frames. ``motion`` and ``recover_iou`` add what later work
    found useful in crowds of people who look alike (``tracking/motion.py``); both are off by default.
    """

    init_score: float = 0.8  # unmatched detections above start a track
    object_score: float = 0.5  # matched detections above continue a track
    match_score: float = 0.5  # least similarity of a match
    memory_span: float = 10.0  # a track unseen for so long is forgotten
    backdrop_span: float = 1.0  # detections that are no track still take part in matching for so long
    momentum: float = 0.8  # weight of the new embedding in the remembered one
    discard_score: float = 0.5  # weak detections more similar to a track than this are dropped
    backdrop_iou: float = 0.3  # a weak detection overlapping a stronger one by more is a duplicate
    class_iou: float = 0.7  # the same for the others
    separate_classes: bool = True  # a track never changes its class
    metric: Literal["bisoftmax", "softmax", "cosine"] = "bisoftmax"

    motion: Literal["none", "gate"] = "none"
    gate: float = 1.5  # largest distance from the predicted box, in box sizes
    gate_growth: float = 0.05  # by which fraction the gate widens per unit of time unseen
    gate_cosine: float = 0.3  # least cosine of two embeddings inside the gate
    prior: float = 8.0  # a match loses prior * (distance relative to the gate's widening)^2 before the softmax
    velocity_momentum: float = 0.4  # weight of the newest velocity in the smoothed one
    velocity_decay: float = 10.0  # unseen, an object coasts to a halt with this time constant

    recover_iou: float = 0.0  # unmatched detections continue a track they overlap by so much; 0: off
    recover_score: float = 0.1  # ... if their score is above
    recover_span: float = 1.0  # ... and the track was seen no longer ago

    min_hits: int = 1  # a track is reported from so many detections of it on
    report_score: float = 0.0  # ... and while their running mean score is no less; a new one weighs `momentum` or more
    gallery_span: float = 0.0  # a forgotten track may be found again by its appearance for so long; 0: never
    gallery_score: float = 0.8  # ... at this cosine of two embeddings

    frame_rate: float | None = None  # frames a second that the times stand for, where they are in seconds
    kind: Literal["quasi_dense"] = "quasi_dense"

    def __post_init__(self) -> None:
        fractions = (
            "init_score", "object_score", "match_score", "momentum", "discard_score", "backdrop_iou", "class_iou",
            "gate_cosine", "velocity_momentum", "recover_iou", "recover_score", "report_score", "gallery_score",
        )  # fmt: skip
        require_range(self, fractions, 0, 1)
        spans = ("backdrop_span", "gate_growth", "prior", "recover_span", "gallery_span")
        require_range(self, spans, 0, math.inf)
        require(self.min_hits >= 1, "min_hits", self.min_hits, "1 or more")
        for key in ("memory_span", "gate", "velocity_decay"):
            require(0 < getattr(self, key) < math.inf, key, getattr(self, key), "a positive number")
        metrics = ("bisoftmax", "softmax", "cosine")
        require(self.metric in metrics, "metric", self.metric, f"one of {', '.join(metrics)}")
        require(self.motion in ("none", "gate"), "motion", self.motion, "none or gate")
        _require_rate(self.frame_rate)

    def in_frames(self) -> QuasiDenseConfig:
        """The same with times in frames, for data of any frame rate, as benchmarks count.

        Raises:
            ConfigError: it is not said which ``frame_rate`` the times stand for.
        """
        return replace(self._counting(_known_rate(self.frame_rate)), frame_rate=None)

    def in_seconds(self, frame_rate: float) -> QuasiDenseConfig:
        """The same, whose times are in frames, with times in seconds."""
        return replace(self._counting(1 / frame_rate), frame_rate=frame_rate)

    def _counting(self, parts: float) -> QuasiDenseConfig:
        """The same with times in another unit, of which there are so many ``parts`` in this one."""
        return replace(
            self,
            memory_span=self.memory_span * parts,
            backdrop_span=self.backdrop_span * parts,
            gate_growth=self.gate_growth / parts,
            velocity_decay=self.velocity_decay * parts,
            recover_span=self.recover_span * parts,
            gallery_span=self.gallery_span * parts,
        )

    @classmethod
    def preset(cls, name: str) -> QuasiDenseConfig:
        """The published settings of a data set, times in frames.

        Raises:
            ConfigError: no preset has this name.
        """
        presets = {
            "default": cls(),
            "mot17": cls(init_score=0.9, memory_span=30.0),
            "bdd100k": cls(init_score=0.7, object_score=0.3),
        }
        require(name in presets, "preset", name, f"one of {', '.join(presets)}")
        return presets[name]


@dataclass(frozen=True)
class TaoConfig:
    """The tracker for many classes and sparse frames (``tracking/tao.py``).

    The defaults are those of the paper, with times in annotated frames.
    """

    init_score: float = 0.0001  # unmatched detections above start a track
    object_score: float = 0.0001  # weaker detections are not matched
    match_score: float = 0.5  # least similarity of a match
    memory_span: float = 10.0  # a track unseen for so long is forgotten
    momentum: float = 0.8  # weight of the new embedding in the remembered one
    score_momentum: float = 0.5  # weight of the new score in that of the track
    duplicate_score: float = 0.5  # only detections weaker than this can be duplicates
    duplicate_iou: float = 0.3  # they are, where they overlap an earlier one of their class by more

    frame_rate: float | None = None  # frames a second that the times stand for, where they are in seconds
    kind: Literal["tao"] = "tao"

    def __post_init__(self) -> None:
        fractions = (
            "init_score", "object_score", "match_score", "momentum", "score_momentum", "duplicate_score",
            "duplicate_iou",
        )  # fmt: skip
        require_range(self, fractions, 0, 1)
        require(0 < self.memory_span < math.inf, "memory_span", self.memory_span, "a positive number")
        _require_rate(self.frame_rate)

    def in_frames(self) -> TaoConfig:
        """As :meth:`QuasiDenseConfig.in_frames`."""
        return replace(self, memory_span=self.memory_span * _known_rate(self.frame_rate), frame_rate=None)

    def in_seconds(self, frame_rate: float) -> TaoConfig:
        """As :meth:`QuasiDenseConfig.in_seconds`."""
        return replace(self, memory_span=self.memory_span / frame_rate, frame_rate=frame_rate)


@dataclass(frozen=True)
class FairMotConfig:
    """FairMOT's online tracker (``tracking/fairmot.py``).

    The defaults are those of its public code, with times in frames. Its motion counts frames, each one that it is given
    or, where ``frame_rate`` is set, as many as should have come in the time that went by.
    """

    min_score: float = 0.4  # weaker detections are left out
    embedding_limit: float = 0.4  # largest cost of a match by appearance; 0.7 for the Euclidean distance
    iou_limit: float = 0.5  # largest 1 - IoU of a match by overlap
    tentative_limit: float = 0.7  # the same for tracks seen once
    duplicate_limit: float = 0.15  # a lost track and another one with less 1 - IoU are one object
    momentum: float = 0.9  # weight of the remembered embedding beside the new one
    memory_span: float = 30.0  # a track unseen for so long is forgotten
    metric: Literal["cosine", "euclidean"] = "cosine"  # distance of embeddings at length 1
    first_frame_confirmed: bool = True  # tracks of the very first frame are reported at once
    as_published: bool = False  # as the public code: ids from 1, lost tracks two frames longer, boxes count pixels

    frame_rate: float | None = None  # frames a second that the times stand for, where they are in seconds
    kind: Literal["fairmot"] = "fairmot"

    def __post_init__(self) -> None:
        require_range(self, ("min_score", "iou_limit", "tentative_limit", "duplicate_limit", "momentum"), 0, 1)
        require_range(self, ("embedding_limit",), 0, 2)
        require(0 < self.memory_span < math.inf, "memory_span", self.memory_span, "a positive number")
        require(self.metric in ("cosine", "euclidean"), "metric", self.metric, "cosine or euclidean")
        _require_rate(self.frame_rate)

    def in_frames(self) -> FairMotConfig:
        """As :meth:`QuasiDenseConfig.in_frames`."""
        return replace(self, memory_span=self.memory_span * _known_rate(self.frame_rate), frame_rate=None)

    def in_seconds(self, frame_rate: float) -> FairMotConfig:
        """As :meth:`QuasiDenseConfig.in_seconds`."""
        return replace(self, memory_span=self.memory_span / frame_rate, frame_rate=frame_rate)


def _require_rate(rate: float | None) -> None:
    require(rate is None or 0 < rate < math.inf, "frame_rate", rate, "a positive number, or none")


def _known_rate(rate: float | None) -> float:
    if rate is None:
        raise ConfigError(
            "tracker.frame_rate: not set: nothing says how many frames a second the times of the tracker stand for; "
            "count its time in seconds, or set frame_rate in the preset or recipe that the weights are made by"
        )
    return rate


# A tracker's configuration says by `kind` which it is; without it, as in the first weights files, it is quasi-dense.
TrackerConfig = QuasiDenseConfig | TaoConfig | FairMotConfig
TRACKERS: tuple[type[TrackerConfig], ...] = (QuasiDenseConfig, TaoConfig, FairMotConfig)


def read_tracker(mapping: Any, where: str) -> TrackerConfig:
    """The tracker's configuration that a mapping holds; its key ``kind`` says which tracker.

    Raises:
        ConfigError: an unknown kind or key, or a bad value, by name.
    """
    config: TrackerConfig = parse_value(mapping, TrackerConfig, where)
    return config


def retuned(config: TrackerConfig, values: Mapping[str, Any]) -> TrackerConfig:
    """``config`` with other ``values``, by the names of its fields.

    A ``kind`` that is not its own stands for that tracker with its defaults, which remembers for as long as ``config``.

    Raises:
        ConfigError: an unknown kind or key, or a bad value, by name.
    """
    if values.get("kind", config.kind) != config.kind:
        other = read_tracker({"kind": values["kind"]}, "tracker")
        if config.frame_rate is not None:
            other = other.in_seconds(config.frame_rate)
        config = replace(other, memory_span=config.memory_span)
    return replaced(config, values, "tracker")
