"""RoIAlign (arXiv 1703.06870) over a feature pyramid in plain torch, with static shapes.

A region is cut into 7x7 bins; a bin is the mean of bilinear samples. Sampling is *fixed* (n x n samples a bin) or
*adaptive*, as public QDTrack checkpoints were trained: ceil(region / 7) samples a bin on each axis, so that no cell
is skipped. The adaptive number depends on the box, which a static graph cannot loop over. But bilinear sampling is
separable: the weight of a cell in a bin is the product of a weight of its row and one of its column. So each region
takes the cells it covers, at most :func:`largest_window`, because the choice of level bounds a region's area in
cells; one matrix product with the (49, cells) weights gives all its bins, exactly.

Torch on a GPU does it by one kernel, see ``roi_align_kernel.py``. ONNX's own RoiAlign serves no one: a static graph
computes every box on every level with it, which takes ONNX Runtime and OpenVINO longer than this, four times as long
with fixed sampling; TensorRT for RTX refuses it.
"""

from __future__ import annotations

import importlib.util
import math

import torch
from torch import Tensor

from qdtrack_model.networks.constants import constant

BINS = 7
FINEST = 56  # boxes of this size (square root of the area) and up to twice as much are read from the finest level
LEVEL_SIDE = 28  # the longest side, in cells of its level, of a square box below the coarsest level
CELLS_AT_ONCE = 2**17  # a block of regions has no more cells than this: 128 MB of 256 floats
CELLS_IN_CACHE = 2**13  # a CPU gathers no more than this before it mixes them: what is larger goes through its memory


def choose_level(boxes: Tensor, levels: int) -> Tensor:
    """The pyramid level (..., ) int64, 0 the finest, for boxes (..., 4): clamp(floor(log2(sqrt(area) / 56 + 1e-6)))."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    size = (sides[..., 0] * sides[..., 1]).sqrt()
    return (size / FINEST + 1e-6).log2().floor().clamp(0, levels - 1).long()


def largest_window(shapes: list[tuple[int, int]]) -> int:
    """The most cells that a region can cover, given the (height, width) of the maps, finest first.

    Below the coarsest level a region covers less than 28 x 28 cells in area. On each axis it touches at most 3 more
    cells than it is long, so that long thin ones touch most; on the coarsest level it can cover the whole map.
    """
    height, width = shapes[-1]
    most = height * width
    for height, width in shapes[:-1]:
        for side in (height, width, LEVEL_SIDE + 3):
            thin = math.ceil(LEVEL_SIDE**2 / max(side - 3, 1)) + 3
            most = max(most, min(side * thin, height * width))
    return most


def roi_align(pyramid: list[Tensor], boxes: Tensor, sampling: int = 0) -> Tensor:
    """Features (B, K, C, 7, 7) of regions.

    Args:
        pyramid: maps (B, C, H, W) at strides 4, 8, 16, ..., finest first.
        boxes: (B, K, 4) in image pixels; they may reach beyond the image.
        sampling: samples a bin on each axis, 0 for adaptive.
    """
    # Coordinates in half precision are off by whole cells: they stay in float32.
    boxes = boxes.float()
    level = choose_level(boxes, len(pyramid))
    if boxes.is_cuda and not torch.is_grad_enabled() and importlib.util.find_spec("triton") is not None:
        from qdtrack_model.networks import roi_align_kernel  # which has no gradient

        return roi_align_kernel.roi_align(pyramid, boxes, level.int(), BINS, sampling)
    batch, channels = pyramid[0].shape[:2]
    count = boxes.shape[1]
    if count == 0:
        return pyramid[0].new_zeros((batch, 0, channels, BINS, BINS))
    shapes = [(int(x.shape[2]), int(x.shape[3])) for x in pyramid]
    cells = torch.cat([x.permute(0, 2, 3, 1).reshape(batch, -1, channels) for x in pyramid], dim=1)
    first_cell = torch.arange(batch, device=boxes.device)[:, None] * cells.shape[1]
    cells = cells.reshape(-1, channels)

    sizes = constant([side for shape in shapes for side in shape], boxes.device, torch.int64).reshape(-1, 2)
    areas = [h * w for h, w in shapes]
    begins = constant([sum(areas[:i]) for i in range(len(areas))], boxes.device, torch.int64)
    first_cell = first_cell + begins[level]
    scaled = boxes * (0.25 * 0.5 ** level.float())[..., None] - 0.5

    first_cell, extent, regions = first_cell.reshape(-1), sizes[level].reshape(-1, 2), scaled.reshape(-1, 4)
    eager_cpu = boxes.is_cpu and not torch.compiler.is_compiling()
    at_once = CELLS_IN_CACHE if eager_cpu else CELLS_AT_ONCE
    if sampling:
        step = max(1, at_once // (2 * BINS * sampling) ** 2)
        parts = zip(*(tensor.split(step) for tensor in (first_cell, extent, regions)), strict=True)
        bins = torch.cat([_fixed(cells, sampling, *part) for part in parts])
    else:
        bins = _adaptive(cells, first_cell, extent, regions, shapes, at_once, alike=eager_cpu)
    return bins.transpose(1, 2).reshape(batch, count, channels, BINS, BINS)


def _pull(position: Tensor, cell: Tensor, size: Tensor) -> Tensor:
    """Bilinear weight of a row or column ``cell`` for samples at ``position`` on an axis of ``size`` cells.

    Samples up to one cell outside count as on the border, those further away as nothing.
    """
    inside = (position >= -1) & (position <= size)
    nearest = torch.minimum(position.clamp(min=0), size - 1)
    return (1 - (nearest - cell).abs()).clamp(min=0) * inside


def _axis_weights(start: Tensor, length: Tensor, size: Tensor, first: Tensor, count: int) -> Tensor:
    """Weights (N, 7, count) of the rows ``first``, ``first`` + 1, ... in the 7 bins, adaptive sampling.

    Args:
        start: (N,) where regions begin, in cells.
        length: (N,) their length.
        size: (N,) length of the map.
        first: (N,) the first row asked for.
        count: how many rows.
    """
    samples = (length / BINS).ceil().clamp(min=0)[:, None, None]  # in a bin
    spacing = (length / BINS)[:, None, None] / samples.clamp(min=1)
    bins = torch.arange(BINS, device=start.device, dtype=start.dtype)[:, None]
    begin = start[:, None, None] + bins * (length / BINS)[:, None, None] + 0.5 * spacing  # first sample of each bin
    rows = first[:, None, None] + torch.arange(count, device=start.device, dtype=start.dtype)  # (N, 1, count)
    # With two samples or more they are at least half a cell apart: no more than six can touch a row (-1 .. +1).
    pace = torch.where(samples > 1, spacing, torch.ones_like(spacing))
    lowest = ((rows - 1 - begin) / pace).floor()
    weights = torch.zeros_like(lowest)
    for step in range(6):  # one after the other: together they would need six times the memory
        index = lowest + step
        pull = _pull(begin + index * spacing, rows, size[:, None, None])
        weights = weights + pull * ((index >= 0) & (index < samples))
    return weights / samples.clamp(min=1)


def _window(extent: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """The first column and row (N, 2) of the cells that regions cover, and how many columns and rows (N, 2) int64."""
    limit = (extent.flip(1) - 1).to(regions.dtype)
    first = torch.minimum(regions[:, :2].floor().clamp(min=0), limit)
    last = torch.minimum(regions[:, 2:].floor().clamp(min=-1) + 1, limit)
    return first, (last - first).long().clamp(min=0) + 1


def _adaptive(
    cells: Tensor,
    first_cell: Tensor,
    extent: Tensor,
    regions: Tensor,
    shapes: list[tuple[int, int]],
    at_once: int,
    alike: bool,
) -> Tensor:
    """Bins (N, 49, C) of regions, ceil(length / 7) samples a bin on each axis.

    Args:
        cells: (cells of all maps, C).
        first_cell: (N,) where the map of each region begins in ``cells``.
        extent: (N, 2) height and width of that map.
        regions: (N, 4) in cells of that map, cell centres at whole numbers.
        shapes: height and width of the maps, finest first.
        at_once: how many cells a block of regions gathers.
        alike: have blocks of regions that cover alike many cells, as most cover far fewer than the largest window; a
            static graph cannot.
    """
    start, length, size = regions[:, :2], regions[:, 2:] - regions[:, :2], extent.flip(1)  # each x, y
    first, spans = _window(extent, regions)
    corner, edge = first.long(), size.to(start.dtype)
    # Of all regions at once: a static graph repeats what is done for a block, and has more blocks for larger images.
    x, y = (
        _axis_weights(start[:, axis], length[:, axis], edge[:, axis], first[:, axis], shapes[0][1 - axis])
        for axis in (0, 1)
    )
    described = [first_cell + corner[:, 1] * size[:, 0] + corner[:, 0], size, spans, y, x]
    if alike:
        order = spans.prod(dim=1).argsort()
        described = [tensor[order] for tensor in described]
    window = largest_window(shapes)
    step = max(1, at_once // window)
    blocks = []
    for block in zip(*(tensor.split(step) for tensor in described), strict=True):
        if alike:
            window = int(block[2].prod(dim=1).max())
        blocks.append(_windows(cells, window, *block))
    bins = torch.cat(blocks)
    return bins[order.argsort()] if alike else bins


def _windows(
    cells: Tensor, window: int, first_cell: Tensor, size: Tensor, spans: Tensor, y: Tensor, x: Tensor
) -> Tensor:
    """Bins (N, 49, C) of regions by the weights of the rows ``y`` and columns ``x`` (N, 7, ...) of their windows.

    Args:
        cells: (cells of all maps, C).
        window: the most cells of a window.
        first_cell: (N,) of each window.
        size: (N, 2) width and height of the map.
        spans: (N, 2) columns and rows of the window.
        y: weights of the rows of each window, none elsewhere.
        x: those of its columns.
    """
    # Cell n of a window, row by row; those beyond its end get no weight.
    n = torch.arange(window, device=cells.device)
    # In floats, as is quicker; GPUs divide approximately, and without the half a whole quotient could come out below.
    row = ((n + 0.5) / spans[:, :1]).floor().long()  # (N, window)
    used = row < spans[:, 1:]
    row = row * used
    column = (n - row * spans[:, :1]) * used
    y = y.gather(2, row[:, None].expand(-1, BINS, -1)) * used[:, None]
    x = x.gather(2, column[:, None].expand(-1, BINS, -1))
    weights = (y[:, :, None] * x[:, None]).flatten(1, 2)  # (N, 49, window)
    return _mix(cells, first_cell[:, None] + row * size[:, :1] + column, weights)


def _fixed(cells: Tensor, sampling: int, first_cell: Tensor, extent: Tensor, regions: Tensor) -> Tensor:
    """Bins (N, 49, C) of regions with ``sampling`` x ``sampling`` samples each; arguments as of :func:`_adaptive`."""
    rows, y = _fixed_axis(regions[:, 1], regions[:, 3], extent[:, 0], sampling)
    columns, x = _fixed_axis(regions[:, 0], regions[:, 2], extent[:, 1], sampling)
    # Each bin mixes its own cells alone: one small product a bin, 49 times less work than one a region.
    first_of_row = first_cell[:, None, None] + rows * extent[:, 1, None, None]  # (N, 7, 2 n)
    index = first_of_row[:, :, None, :, None] + columns[:, None, :, None, :]  # (N, 7, 7, 2 n, 2 n)
    weights = y[:, :, None, :, None] * x[:, None, :, None, :]
    bins = _mix(cells, index.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)[:, None])
    return bins.reshape(len(regions), BINS * BINS, -1)


def _fixed_axis(start: Tensor, end: Tensor, size: Tensor, sampling: int) -> tuple[Tensor, Tensor]:
    """The cells (N, 7, 2 n) on both sides of the n samples of the 7 bins of one axis, and their weights there."""
    points = (torch.arange(BINS * sampling, device=start.device) + 0.5) / (BINS * sampling)
    position = (start[:, None] + (end - start)[:, None] * points)[..., None]  # (N, 7 n, 1)
    size = size[:, None, None].to(position.dtype)
    low = torch.minimum(position.floor().clamp(min=0), size - 1)
    pair = torch.cat([low, torch.minimum(low + 1, size - 1)], dim=-1)  # (N, 7 n, 2)
    # On the last cell both neighbours are the same one: it counts once.
    once = torch.cat([torch.ones_like(low), (pair[..., 1:] > low).to(low.dtype)], dim=-1)
    weight = _pull(position, pair, size) * once / sampling
    return pair.reshape(-1, BINS, 2 * sampling).long(), weight.reshape(-1, BINS, 2 * sampling)


def _mix(cells: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums (N, M, C) of the cells (total, C) at ``index`` (N, P); ``weights`` is (N, M, P)."""
    step = max(1, CELLS_IN_CACHE // index.shape[1])
    for_gpu = cells.is_cuda or cells.dtype == torch.float16  # graphs in half precision are for GPUs
    if step < len(index) and not for_gpu:
        parts = zip(index.split(step), weights.split(step), strict=True)
        return torch.cat([_mix(cells, *part) for part in parts])
    # Twice as fast as cells[index].
    gathered = cells.index_select(0, index.flatten()).unflatten(0, tuple(index.shape))
    return torch.bmm(weights.to(cells.dtype), gathered)
