from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from qdtrack_model.boxes import box_iou
from qdtrack_model.networks import box_coding
from qdtrack_model.networks.box_coding import decode_deltas, encode_deltas, nms
from qdtrack_model.structures import Array

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)


def random_boxes(seed: int, count: int, span: float = 200) -> Tensor:
    generator = np.random.default_rng(seed)
    corner, size = generator.uniform(-20, span, (count, 2)), generator.uniform(2, 90, (count, 2))
    return torch.tensor(np.concatenate([corner, corner + size], axis=1), dtype=torch.float32)


def test_deltas_lead_from_one_box_to_the_other() -> None:
    boxes, targets = random_boxes(0, 500).double(), random_boxes(1, 500).double()
    deltas = encode_deltas(boxes, targets, DEVIATIONS)
    torch.testing.assert_close(decode_deltas(boxes, deltas, DEVIATIONS), targets)


def test_deltas_of_a_known_box() -> None:
    # Moved by a tenth of its width to the right, twice as high about the same centre.
    deltas = encode_deltas(torch.tensor([10.0, 20, 110, 60]), torch.tensor([20.0, 0, 120, 80]), (1, 1, 1, 1))
    torch.testing.assert_close(deltas, torch.tensor([0.1, 0.0, 0.0, 0.6931472]))


def test_growth_is_limited_and_boxes_clipped_where_asked() -> None:
    box, deltas = torch.tensor([[0.0, 0, 16, 16]]), torch.tensor([[0.0, 0, 99, 99]])
    grown = decode_deltas(box, deltas, (1, 1, 1, 1))
    torch.testing.assert_close(grown, torch.tensor([[-492.0, -492, 508, 508]]))  # 1000 / 16 times as large
    assert decode_deltas(box, deltas, (1, 1, 1, 1), clip=(100, 200)).tolist() == [[0, 0, 200, 100]]


def test_iou_equals_that_of_numpy() -> None:
    first, second = random_boxes(2, 40), random_boxes(3, 30)
    np.testing.assert_allclose(box_coding.box_iou(first, second), box_iou(first.numpy(), second.numpy()), atol=1e-6)
    assert box_coding.box_iou(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def greedy(boxes: Array, valid: Array, threshold: float, groups: Array) -> Array:
    """Suppression as it is usually written: one box after the other."""
    overlap = box_iou(boxes, boxes)
    kept = np.zeros(len(boxes), bool)
    for i in range(len(boxes)):
        rivals = kept[:i] & (overlap[i, :i] > threshold) & (groups[:i] == groups[i])
        kept[i] = valid[i] and not rivals.any()
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("span", [60, 300])
def test_suppression_equals_the_greedy_loop(threshold: float, span: float) -> None:
    for seed in range(6):
        boxes = random_boxes(seed, 400, span)
        generator = np.random.default_rng(seed)
        valid, groups = generator.uniform(size=400) > 0.1, generator.integers(0, 3, 400)
        expected = greedy(boxes.double().numpy(), valid, threshold, groups)
        found = nms(boxes, torch.tensor(valid), threshold, torch.tensor(groups))
        np.testing.assert_array_equal(found, expected)
        expected = greedy(boxes.double().numpy(), valid, threshold, np.zeros(400))
        np.testing.assert_array_equal(nms(boxes[None], torch.tensor(valid)[None], threshold)[0], expected)


def test_a_long_chain_is_settled_to_its_end() -> None:
    # Each box overlaps the next by 3/5: every second one stays.
    left = torch.arange(60) * 4.0
    boxes = torch.stack([left, torch.zeros(60), left + 16, torch.full((60,), 10.0)], dim=1)
    assert nms(boxes, torch.ones(60, dtype=torch.bool), 0.5).tolist() == [True, False] * 30
