"""Ids and boxes equal to those of the public trackers, on streams of every preset and metric."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.config import FairMotConfig, QuasiDenseConfig
from qdtrack_model.structures import Detections
from qdtrack_model.tracking import FairMotTracker, QuasiDenseTracker, TaoTracker, build

FOLDER = Path(__file__).parents[2] / "reference" / "trackers"
NAMES = {
    "init_score_thr": "init_score",
    "obj_score_thr": "object_score",
    "memo_tracklet_frames": "memory_span",
    "match_metric": "metric",
    "with_cats": "separate_classes",
}


def assert_equal_stream(tracker, stored):
    ends, track_ends = np.cumsum(stored["n"]), np.cumsum(stored["track_n"])
    detections = Detections(*(stored[name] for name in ("boxes", "scores", "labels", "embeddings")))
    for time, (end, count, track_end, track_count) in enumerate(
        zip(ends, stored["n"], track_ends, stored["track_n"], strict=True)
    ):
        tracks = tracker.update(detections[slice(end - count, end)], time)
        rows = slice(track_end - track_count, track_end)
        assert tracks.ids.tolist() == stored["track_ids"][rows].tolist(), f"frame {time}"
        np.testing.assert_array_equal(tracks.boxes, stored["track_boxes"][rows])
        np.testing.assert_array_equal(tracks.labels, stored["track_labels"][rows])
        np.testing.assert_allclose(tracks.scores, stored["track_scores"][rows], rtol=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "settings",
    ["bdd100k_bisoftmax", "bdd100k_cosine", "bdd100k_softmax", "code_default_bisoftmax", "mot17_bisoftmax"],
)
def test_quasi_dense(settings, seed):
    with np.load(FOLDER / f"quasi_dense_{settings}_{seed}.npz") as stored:
        given = ast.literal_eval(str(stored["params"]))
        config = QuasiDenseConfig(**{NAMES[key]: value for key, value in given.items()})
        assert_equal_stream(QuasiDenseTracker(config), stored)


@pytest.mark.parametrize("name", ["quasi_dense_mot17_bisoftmax_1", "quasi_dense_bdd100k_bisoftmax_1", "tao_1"])
def test_presets_that_count_frames(name):
    preset = next(known for known in ("mot17", "bdd100k", "tao") if known in name)
    with np.load(FOLDER / f"{name}.npz") as stored:
        assert_equal_stream(build(read_preset(preset).tracker.in_frames()), stored)


@pytest.mark.parametrize("seed", [1, 2])
def test_tao(seed):
    with np.load(FOLDER / f"tao_{seed}.npz") as stored:
        assert_equal_stream(TaoTracker(), stored)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("settings", ["fairmot", "fairmot_euclidean"])
def test_fairmot(settings, seed):
    with np.load(FOLDER / f"{settings}_{seed}.npz") as stored:
        given = ast.literal_eval(str(stored["params"]))
        config = FairMotConfig(
            min_score=given["conf_thres"],
            embedding_limit=given["embedding_limit"],
            memory_span=int(given["frame_rate"] / 30 * given["track_buffer"]),
            metric=given["metric"],
            first_frame_confirmed=given["confirm_first_frame"],
            as_published=True,
        )
        assert_equal_boxes(FairMotTracker(config), stored)


def assert_equal_boxes(tracker, stored):
    labels = np.zeros(len(stored["boxes"]))
    detections = Detections(stored["boxes"], stored["scores"], labels, stored["embeddings"])
    frames, tracked = (np.split(np.arange(stored[n].sum()), np.cumsum(stored[n])[:-1]) for n in ("n", "track_n"))
    for time, (rows, expected) in enumerate(zip(frames, tracked, strict=True), 1):
        tracks = tracker.update(detections[rows], time)
        order, wanted = np.argsort(tracks.ids), expected[np.argsort(stored["track_ids"][expected])]
        np.testing.assert_array_equal(tracks.ids[order], stored["track_ids"][wanted], f"frame {time}")
        np.testing.assert_allclose(tracks.boxes[order], stored["track_boxes"][wanted], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(tracks.scores[order], stored["track_scores"][wanted])
