"""Tracker configurations: presets, and values that are refused by name."""

from __future__ import annotations

import pytest

from qdtrack_model.config import ConfigError, QuasiDenseConfig, TaoConfig, from_mapping, read_tracker, to_mapping
from qdtrack_model.tracking import QuasiDenseTracker, TaoTracker, build


@pytest.mark.parametrize(
    ("name", "init_score", "object_score", "memory_span"),
    [("default", 0.8, 0.5, 10), ("mot17", 0.9, 0.5, 30), ("bdd100k", 0.7, 0.3, 10)],
)
def test_presets(name, init_score, object_score, memory_span):
    config = QuasiDenseConfig.preset(name)
    assert (config.init_score, config.object_score, config.memory_span) == (init_score, object_score, memory_span)
    assert from_mapping(QuasiDenseConfig, to_mapping(config)) == config


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
    ],
)
def test_a_bad_value_is_refused_by_name(kind, key, value):
    with pytest.raises(ConfigError, match=f"{key}: got"):
        kind(**{key: value})


@pytest.mark.parametrize(
    ("config", "tracker"), [(QuasiDenseConfig(gate=2.0), QuasiDenseTracker), (TaoConfig(init_score=0.5), TaoTracker)]
)
def test_a_mapping_says_which_tracker_it_is_for(config, tracker):
    assert read_tracker(to_mapping(config), "tracker") == config
    assert type(build(config)) is tracker
    assert build(config).config == config


def test_a_mapping_without_kind_is_quasi_dense():
    assert read_tracker({"init_score": 0.7}, "tracker") == QuasiDenseConfig(init_score=0.7)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"kind": "sort"}, "tracker.kind: got 'sort', expected one of quasi_dense, tao"),
        ({"kind": ["tao"]}, r"tracker.kind: got \['tao'\], expected one of quasi_dense, tao"),
        ({"kind": "tao", "gate": 1.0}, r"tracker \(tao\): unknown key 'gate'; known keys: duplicate_iou"),
        ({"kind": "tao", "init_score": 2}, "tracker.init_score: got 2.0, expected a number in"),
        (None, "tracker: got None, expected a mapping"),
    ],
)
def test_what_describes_no_tracker_is_refused_by_name(mapping, message):
    with pytest.raises(ConfigError, match=message):
        read_tracker(mapping, "tracker")
