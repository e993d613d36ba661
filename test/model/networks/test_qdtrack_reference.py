"""The whole network against an independent implementation, on seeded weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qdtrack_model.config import QDTrackConfig
from qdtrack_model.networks import QDTrack
from qdtrack_model.structures import Array

from . import seeded_weights

NUMBERS = Path(__file__).parents[2] / "reference" / "faster_rcnn" / "network.npz"


def fill(network: nn.Module, seed: int, input_scale: float) -> None:
    """Give every tensor the reference's value for its name."""
    tensors = {}
    for name, old in network.state_dict().items():
        canonical = name.removeprefix("embedding_head.")
        tensors[name] = torch.from_numpy(seeded_weights.tensor(seed, canonical, tuple(old.shape), input_scale))
    network.load_state_dict(tensors)


@pytest.fixture(scope="module")
def reference() -> dict[str, Array]:
    with np.load(NUMBERS) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def stages(reference: dict[str, Array]) -> dict[str, Array]:
    size = int(reference["height"]), int(reference["width"])
    network = QDTrack(QDTrackConfig(input_size=size)).eval()
    fill(network, int(reference["seed"]), input_scale=60)
    image = torch.from_numpy(seeded_weights.image(int(reference["seed"]), *size))[None]
    boxes = torch.from_numpy(reference["boxes"])[None]
    with torch.inference_mode():
        return {name: value[0].numpy() for name, value in network.stages(image, boxes).items()}


def relative(found: Array, expected: Array) -> float:
    """The largest difference, relative to the largest number."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_the_pyramid_is_equal(stages: dict[str, Array], reference: dict[str, Array]) -> None:
    assert relative(stages["p5"], reference["p5"]) < 1e-4
    for level in ("p2", "p3", "p4", "p5", "p6"):
        assert relative(stages[level].mean(axis=(1, 2)), reference[f"{level}_mean"]) < 1e-4
        assert relative(stages[level].std(axis=(1, 2), ddof=1), reference[f"{level}_std"]) < 1e-4


@pytest.mark.parametrize("name", ["rpn_objectness_p5", "rpn_deltas_p5", "box_logits", "box_deltas"])
def test_the_heads_are_equal(stages: dict[str, Array], reference: dict[str, Array], name: str) -> None:
    found = stages[name].reshape(reference[name].shape)
    assert relative(found, reference[name]) < 1e-4


def test_region_features_are_equal(stages: dict[str, Array], reference: dict[str, Array]) -> None:
    expected = reference["box_roi_features"]
    assert relative(stages["box_roi_features"][: len(expected)], expected) < 1e-4


def matched(boxes: Array, scores: Array, expected: Array, expected_scores: Array, pixels: float) -> Array:
    """For every expected row the row found within ``pixels`` and 1e-4 of the score, or -1."""
    near = (np.abs(boxes[None] - expected[:, None]).max(axis=2) < pixels) & (
        np.abs(scores[None] - expected_scores[:, None]) < 1e-4
    )
    return np.where(near.any(axis=1), near.argmax(axis=1), -1)


def test_proposals_are_equal(stages: dict[str, Array], reference: dict[str, Array]) -> None:
    rows = matched(
        stages["proposals"], stages["proposal_scores"], reference["proposals"], reference["proposal_scores"], 0.05
    )
    assert (rows >= 0).mean() >= 0.99
    assert len(stages["proposals"]) == len(reference["proposals"])


def test_embeddings_of_given_boxes_are_equal(stages: dict[str, Array], reference: dict[str, Array]) -> None:
    assert relative(stages["box_embeddings"], reference["box_embeddings"]) < 1e-3


def test_detections_are_equal(stages: dict[str, Array], reference: dict[str, Array]) -> None:
    rows = matched(
        stages["detections"], stages["detection_scores"], reference["detections"], reference["detection_scores"], 0.05
    )
    there = rows >= 0
    assert there.sum() >= 95
    np.testing.assert_array_equal(stages["detection_labels"][rows[there]], reference["detection_labels"][there])
    found, expected = stages["detection_embeddings"][rows[there]], reference["detection_embeddings"][there]
    assert relative(found, expected) < 1e-3
