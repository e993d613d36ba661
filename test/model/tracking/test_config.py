"""Tracker configurations: presets, and values that are refused by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.config import (
    ConfigError,
    FairMotConfig,
    QuasiDenseConfig,
    TaoConfig,
    from_mapping,
    read_tracker,
    retuned,
    to_mapping,
)
from qdtrack_model.tracking import FairMotTracker, QuasiDenseTracker, TaoTracker, build

from .scenes import BLUE, RED, crowd, people


@pytest.mark.parametrize(
    ("name", "init_score", "object_score", "memory_span"),
    [("default", 0.8, 0.5, 10), ("mot17", 0.9, 0.5, 30), ("bdd100k", 0.7, 0.3, 10)],
)
def test_presets(name, init_score, object_score, memory_span):
    config = QuasiDenseConfig.preset(name)
    assert (config.init_score, config.object_score, config.memory_span) == (init_score, object_score, memory_span)
    assert from_mapping(QuasiDenseConfig, to_mapping(config)) == config


@pytest.mark.parametrize(
    ("name", "rate", "memory"),
    [("mot17", 30, 30), ("dancetrack", 20, 30), ("bdd100k", 5, 10), ("waymo", 10, 10), ("lvis", 1, 10), ("tao", 1, 10)],
)
def test_published_memory_is_a_number_of_frames(name, rate, memory):
    tracker = read_preset(name).tracker
    counted = tracker.in_frames()
    assert (tracker.frame_rate, tracker.memory_span) == (rate, memory / rate)
    assert (counted.frame_rate, counted.memory_span) == (None, memory)
    assert getattr(counted, "backdrop_span", 1) // 1 == 1


def test_the_same_tracks_by_seconds_and_by_frames():
    config = dataclasses.replace(read_preset("light").tracker, gate_cosine=0.0)
    stream, rate = crowd(seed=3, frames=40, count=8), config.frame_rate
    seconds, frames = QuasiDenseTracker(config), QuasiDenseTracker(config.in_frames())
    for number, seen in enumerate(stream):
        by_seconds, by_frames = seconds.update(seen, number / rate), frames.update(seen, number)
        assert by_seconds.ids.tolist() == by_frames.ids.tolist()
        np.testing.assert_allclose(by_seconds.velocities / rate, by_frames.velocities, rtol=1e-4, atol=1e-4)
    assert seconds.remembered().ids.tolist() == frames.remembered().ids.tolist()


@pytest.mark.parametrize(("later", "identity"), [(1, 1), (2, 0)])
def test_backdrops_that_count_frames_are_those_of_the_frame_before(later, identity):
    tracker = build(read_preset("mot17").tracker.in_frames())
    tracker.update(people((100, 200, RED, 0.95)), 1)
    tracker.update(people((100, 200, RED, 0.95), (300, 200, BLUE, 0.8)), 2)  # the second one is too weak for a track
    # Known from the frame before it is somebody else; unknown it can only be the first one.
    assert tracker.update(people((300, 200, BLUE, 0.95)), 2 + later).ids.tolist() == [identity]


@pytest.mark.parametrize("config", [QuasiDenseConfig(), TaoConfig(), FairMotConfig()])
def test_times_of_no_known_frame_rate_cannot_be_counted_in_frames(config):
    with pytest.raises(ConfigError, match=r"frame_rate: not set: .* set frame_rate in the preset or recipe"):
        config.in_frames()


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="preset: got 'kitti', expected one of default, mot17, bdd100k"):
        QuasiDenseConfig.preset("kitti")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (QuasiDenseConfig, "init_score", 1.5),
        (QuasiDenseConfig, "momentum", -0.1),
        (QuasiDenseConfig, "match_score", float("nan")),
        (QuasiDenseConfig, "memory_span", 0.0),
        (QuasiDenseConfig, "backdrop_span", -1.0),
        (QuasiDenseConfig, "gate", 0.0),
        (QuasiDenseConfig, "prior", float("inf")),
        (QuasiDenseConfig, "metric", "euclidean"),
        (QuasiDenseConfig, "motion", "kalman"),
        (TaoConfig, "score_momentum", 2.0),
        (TaoConfig, "memory_span", -3.0),
        (TaoConfig, "frame_rate", 0.0),
        (FairMotConfig, "min_score", -0.1),
        (FairMotConfig, "embedding_limit", 2.5),
        (FairMotConfig, "memory_span", float("inf")),
        (FairMotConfig, "metric", "bisoftmax"),
        (QuasiDenseConfig, "frame_rate", float("nan")),
    ],
)
def test_a_bad_value_is_refused_by_name(kind, key, value):
    with pytest.raises(ConfigError, match=f"{key}: got"):
        kind(**{key: value})


@pytest.mark.parametrize(
    ("config", "tracker"),
    [
        (QuasiDenseConfig(gate=2.0), QuasiDenseTracker),
        (TaoConfig(init_score=0.5), TaoTracker),
        (FairMotConfig(metric="euclidean"), FairMotTracker),
    ],
)
def test_a_mapping_says_which_tracker_it_is_for(config, tracker):
    assert read_tracker(to_mapping(config), "tracker") == config
    assert type(build(config)) is tracker
    assert build(config).config == config


@pytest.mark.parametrize("config", [QuasiDenseConfig.preset("mot17"), TaoConfig(), FairMotConfig()])
def test_frames_in_seconds_are_the_same_frames_again(config):
    assert config.in_seconds(25.0).memory_span == config.memory_span / 25
    back = to_mapping(config.in_seconds(25.0).in_frames())
    assert back == pytest.approx(to_mapping(config))


def test_another_kind_has_its_own_defaults_and_remembers_as_long():
    tuned = QuasiDenseConfig(memory_span=2.0, init_score=0.4, frame_rate=10.0)
    assert retuned(tuned, {"kind": "fairmot", "min_score": 0.3}) == FairMotConfig(
        min_score=0.3, memory_span=2.0, frame_rate=10.0
    )
    assert retuned(tuned, {"kind": "quasi_dense", "gate": 2.0}) == dataclasses.replace(tuned, gate=2.0)
    back = retuned(FairMotConfig(memory_span=2.0, frame_rate=10.0), {"kind": "quasi_dense"})
    assert (back.memory_span, back.backdrop_span) == (2.0, 0.1)
    with pytest.raises(ConfigError, match=r"tracker \(fairmot\): unknown key 'gate'"):
        retuned(tuned, {"kind": "fairmot", "gate": 2.0})
    with pytest.raises(ConfigError, match=r"tracker\.kind: got 'sort', expected one of quasi_dense, tao, fairmot"):
        retuned(tuned, {"kind": "sort"})


def test_a_mapping_without_kind_is_quasi_dense():
    assert read_tracker({"init_score": 0.7}, "tracker") == QuasiDenseConfig(init_score=0.7)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"kind": "sort"}, "tracker.kind: got 'sort', expected one of quasi_dense, tao, fairmot"),
        ({"kind": ["tao"]}, r"tracker.kind: got \['tao'\], expected one of quasi_dense, tao, fairmot"),
        ({"kind": "tao", "gate": 1.0}, r"tracker \(tao\): unknown key 'gate'; known keys: duplicate_iou"),
        ({"kind": "tao", "init_score": 2}, "tracker.init_score: got 2.0, expected a number in"),
        (None, "tracker: got None, expected a mapping"),
    ],
)
def test_what_describes_no_tracker_is_refused_by_name(mapping, message):
    with pytest.raises(ConfigError, match=message):
        read_tracker(mapping, "tracker")
