"""RoIAlign against a direct loop in float64, which knows nothing of windows and matrix products."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qdtrack_model.networks.roi_align import choose_level, largest_window, roi_align
from qdtrack_model.structures import Array

SHAPES = [(48, 64), (24, 32), (12, 16), (6, 8)]


def bilinear(map_: Array, y: float, x: float) -> Array:
    """The value (C,) at one place; up to one cell outside as on the border, beyond that 0."""
    height, width = map_.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(len(map_))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    b, r = y - top, x - left
    upper = map_[:, top, left] * (1 - r) + map_[:, top, right] * r
    lower = map_[:, bottom, left] * (1 - r) + map_[:, bottom, right] * r
    result: Array = upper * (1 - b) + lower * b
    return result


def direct(pyramid: list[Array], box: Array, sampling: int) -> Array:
    area = max(box[2] - box[0], 0) * max(box[3] - box[1], 0)
    level = int(min(max(math.floor(math.log2(math.sqrt(area) / 56 + 1e-6)), 0), 3))
    x1, y1, x2, y2 = box / (4 * 2**level) - 0.5
    columns, rows = (sampling, sampling) if sampling else (math.ceil((x2 - x1) / 7), math.ceil((y2 - y1) / 7))
    bins = np.zeros((pyramid[0].shape[0], 7, 7))
    for i in range(7):
        for j in range(7):
            for r in range(rows):
                for c in range(columns):
                    y = y1 + (i + (r + 0.5) / rows) * (y2 - y1) / 7
                    x = x1 + (j + (c + 0.5) / columns) * (x2 - x1) / 7
                    bins[:, i, j] += bilinear(pyramid[level], y, x) / (rows * columns)
    return bins


def pyramid(batch: int = 1, channels: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, channels, h, w, generator=generator) for h, w in SHAPES]


def odd_boxes() -> list[list[float]]:
    """Boxes of all levels and shapes: inside, across the border, larger than the image, wholly outside, empty."""
    generator = np.random.default_rng(1)
    centres = generator.uniform(-30, [286, 222], (30, 2))
    sizes = np.exp(generator.uniform(math.log(3), math.log(300), (30, 2)))
    special = [
        [0, 0, 256, 192], [-400, -300, 700, 600], [3, 10, 251, 13], [10, 2, 13, 190], [-80, -80, -20, -20],
        [250, 180, 256, 192], [40, 40, 40, 40], [-900, 90, 1200, 91], [20, 20, 48, 48], [252, 188, 258, 194],
    ]  # fmt: skip
    ordinary: list[list[float]] = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).tolist()
    return ordinary + special


class Aligner(nn.Module):
    """What export takes: a module."""

    def __init__(self, sampling: int) -> None:
        super().__init__()
        self.sampling = sampling

    def forward(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        return roi_align(maps, boxes, self.sampling)


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_equals_a_direct_loop(sampling: int, exported: bool) -> None:
    maps, boxes = pyramid(), torch.tensor(odd_boxes(), dtype=torch.float32)
    align: nn.Module = Aligner(sampling)
    if exported:  # static shapes: every region has the largest window
        align = torch.export.export(align, (maps, boxes[None])).module()
    found = align(maps, boxes[None])[0]
    doubles = [m[0].double().numpy() for m in maps]
    for row, box in enumerate(boxes.double().numpy()):
        expected = direct(doubles, box, sampling)
        np.testing.assert_allclose(found[row], expected, atol=5e-5, err_msg=f"box {row}: {box}")


@pytest.mark.parametrize("sampling", [0, 2])
def test_images_of_a_batch_do_not_mix_and_blocks_do_not_matter(sampling: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, boxes = pyramid(batch=2), torch.tensor(odd_boxes()).float().reshape(2, -1, 4)
    together = roi_align(maps, boxes, sampling)
    for image in range(2):
        alone = roi_align([m[image : image + 1] for m in maps], boxes[image : image + 1], sampling)
        torch.testing.assert_close(together[image : image + 1], alone)
    monkeypatch.setattr("qdtrack_model.networks.roi_align.CELLS_IN_CACHE", 5000)
    torch.testing.assert_close(roi_align(maps, boxes, sampling), together)


def test_a_static_graph_repeats_little_for_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT takes minutes for thousands of operations; large images and batches have dozens of blocks."""
    maps, boxes = [m.half() for m in pyramid()], torch.tensor(odd_boxes(), dtype=torch.float32)[None]
    sizes = []
    for blocks in (4, 10):
        monkeypatch.setattr("qdtrack_model.networks.roi_align.CELLS_AT_ONCE", 40 // blocks * largest_window(SHAPES))
        graph = torch.export.export(Aligner(0), (maps, boxes)).graph
        assert sum(node.target is torch.ops.aten.bmm.default for node in graph.nodes) == blocks
        sizes.append(len(graph.nodes))
    assert (sizes[1] - sizes[0]) / 6 < 50


@pytest.mark.parametrize("sampling", [0, 2])
def test_a_graph_for_the_cpu_gathers_no_more_than_a_cache_holds(sampling: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = largest_window(SHAPES) + 100
    monkeypatch.setattr("qdtrack_model.networks.roi_align.CELLS_IN_CACHE", cells)
    inputs = (pyramid(), torch.tensor(odd_boxes(), dtype=torch.float32)[None])
    program = torch.export.export(Aligner(sampling), inputs)
    gathers = [node for node in program.graph.nodes if node.target is torch.ops.aten.index_select.default]
    assert len(gathers) > 1
    assert max(node.meta["val"].shape[0] for node in gathers) <= cells
    torch.testing.assert_close(program.module()(*inputs), roi_align(*inputs, sampling))


def test_gradients_reach_the_maps() -> None:
    maps = [m.double().requires_grad_() for m in pyramid(channels=1)]
    boxes = torch.tensor([[[10.3, 20.1, 60.7, 90.2]]])
    weights = torch.randn(7, 7, dtype=torch.float64)
    (roi_align(maps, boxes)[0, 0, 0] * weights).sum().backward()
    step = 1e-3
    with torch.no_grad():
        for cell in [(6, 4), (12, 9), (30, 40)]:
            lower, upper = ([m.clone() for m in maps] for _ in range(2))
            lower[0][0, 0][cell] -= step
            upper[0][0, 0][cell] += step
            change = ((roi_align(upper, boxes) - roi_align(lower, boxes))[0, 0, 0] * weights).sum() / (2 * step)
            assert maps[0].grad is not None
            torch.testing.assert_close(maps[0].grad[0, 0][cell], change, rtol=1e-6, atol=1e-9)


def test_no_boxes_give_no_features() -> None:
    assert roi_align(pyramid(), torch.zeros(1, 0, 4)).shape == (1, 0, 2, 7, 7)


def test_the_level_follows_the_size() -> None:
    sides = torch.tensor([1.0, 55, 57, 111, 113, 223, 225, 447, 449, 2000])
    boxes = torch.stack([torch.zeros(10), torch.zeros(10), sides, sides], dim=1)
    assert choose_level(boxes, 4).tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert choose_level(torch.tensor([[0.0, 0, 1000, 3]]), 4).item() == 0  # sqrt(3000) is below 56
    assert choose_level(torch.zeros(1, 4), 4).item() == 0


def test_the_window_holds_what_any_box_covers() -> None:
    most = largest_window(SHAPES)
    generator = np.random.default_rng(0)
    for _ in range(3000):
        level = generator.integers(0, 4)
        limit = 28**2 - 1e-6 if level < 3 else 1e6
        width = math.exp(generator.uniform(-3, 8))
        height = limit / width
        height_of_map, width_of_map = SHAPES[level]
        # Rows from floor(start) to floor(end) + 1.
        rows = min(math.floor(generator.uniform() + height) + 2, height_of_map)
        columns = min(math.floor(generator.uniform() + width) + 2, width_of_map)
        assert rows * columns <= most
