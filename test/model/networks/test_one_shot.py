from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from qdtrack_model.config import OneShotConfig
from qdtrack_model.networks import build
from qdtrack_model.networks.one_shot import decode_boxes, find_peaks, gather_patches

REFERENCE = Path(__file__).parents[2] / "reference" / "one_shot.npz"


def test_decoding_equals_the_reference() -> None:
    arrays = np.load(REFERENCE)
    scores, labels, index = find_peaks(torch.tensor(arrays["decode_heat"]), 50)

    def at_peaks(name: str) -> torch.Tensor:
        values = torch.tensor(arrays[name]).flatten(2).transpose(1, 2)
        return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))

    boxes = decode_boxes(index, at_peaks("decode_offset"), at_peaks("decode_ltrb"), width=64)
    np.testing.assert_array_equal(index, arrays["decode_index"])
    np.testing.assert_allclose(boxes, arrays["decode_detections"][..., :4], atol=1e-5)
    np.testing.assert_allclose(scores, arrays["decode_detections"][..., 4], atol=1e-6)
    np.testing.assert_array_equal(labels, arrays["decode_detections"][..., 5])


def test_patches_times_weights_are_the_convolution() -> None:
    torch.manual_seed(0)
    features, weight = torch.randn(2, 5, 6, 7), torch.randn(4, 5, 3, 3)
    dense = F.conv2d(features, weight, padding=1).flatten(2).transpose(1, 2)  # (2, 42, 4)
    index = torch.arange(42).repeat(2, 1).flip(1)  # every cell, corners and borders too
    sparse = gather_patches(features, index) @ weight.permute(2, 3, 1, 0).reshape(-1, 4)
    torch.testing.assert_close(sparse, dense.flip(1), rtol=1e-5, atol=1e-5)


def test_peaks_are_local_maxima_in_order() -> None:
    heat = torch.zeros(1, 2, 5, 8)
    heat[0, 0, 1, 1], heat[0, 0, 1, 2], heat[0, 1, 4, 7] = 0.9, 0.8, 0.7  # the second touches the first
    scores, labels, index = find_peaks(heat, 3)
    torch.testing.assert_close(scores, torch.tensor([[0.9, 0.7, 0.0]]))
    assert labels[0, :2].tolist() == [0, 1]
    assert index[0, :2].tolist() == [1 * 8 + 1, 4 * 8 + 7]


def test_forward_gives_fixed_shapes_best_first() -> None:
    torch.manual_seed(0)
    config = OneShotConfig(input_size=(64, 96), max_detections=10, embedding_size=16)
    network = build(config).eval()
    images = torch.randint(0, 255, (2, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        boxes, scores, labels, embeddings = network(images)
    assert boxes.shape == (2, 10, 4)
    assert embeddings.shape == (2, 10, 16)
    assert labels.dtype == torch.int64
    assert (scores.diff(dim=1) <= 0).all()
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    alone = network(images[1:])
    torch.testing.assert_close(alone[0][0], boxes[1], rtol=1e-3, atol=1e-3)  # an image does not depend on its batch
