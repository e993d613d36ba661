"""RoIAlign as one kernel for GPUs, in Triton: each region reads the cells of its level that its samples touch, once.

``roi_align.py`` says what it computes; there it is plain torch, which gathers each region's cells before it mixes them.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LEVELS = 4


@triton.jit
def bins_kernel(  # type: ignore[no-untyped-def]
    map_0, map_1, map_2, map_3, height_0, height_1, height_2, height_3, width_0, width_1, width_2, width_3,
    boxes, levels, output, regions, channels, BINS: tl.constexpr, SAMPLING: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One bin of one region, all channels.

    Args:
        map_0: pointers to maps (B, height, width, channels), finest first; their sizes follow.
        boxes: (B * regions, 4) float32 in image pixels.
        levels: (B * regions,) int32, of the map that each box is read from.
        output: (B * regions, BINS * BINS, channels).
        regions: boxes of an image.
        SAMPLING: samples a bin on each axis, 0 for adaptive.
        BLOCK: a power of two, at least ``channels``.
    """
    region, place = tl.program_id(0), tl.program_id(1)
    level = tl.load(levels + region)
    cells, height, width, scale = map_0, height_0, width_0, 0.25
    if level == 1:
        cells, height, width, scale = map_1, height_1, width_1, 0.125
    if level == 2:
        cells, height, width, scale = map_2, height_2, width_2, 0.0625
    if level == 3:
        cells, height, width, scale = map_3, height_3, width_3, 0.03125
    left, top = tl.load(boxes + 4 * region) * scale - 0.5, tl.load(boxes + 4 * region + 1) * scale - 0.5
    # Exact quotients: an approximate one, as GPUs divide by themselves, would be rounded up to a sample more.
    bin_width = tl.div_rn(tl.load(boxes + 4 * region + 2) * scale - 0.5 - left, 1.0 * BINS)
    bin_height = tl.div_rn(tl.load(boxes + 4 * region + 3) * scale - 0.5 - top, 1.0 * BINS)
    rows, columns = SAMPLING, SAMPLING
    if SAMPLING == 0:
        rows, columns = tl.ceil(bin_height).to(tl.int32), tl.ceil(bin_width).to(tl.int32)
    first_y, first_x = top + (place // BINS) * bin_height, left + (place % BINS) * bin_width

    channel = tl.arange(0, BLOCK)
    used = channel < channels
    cells += (region // regions).to(tl.int64) * height * width * channels + channel
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for row in range(rows):
        y = first_y + (row + 0.5) * bin_height / rows
        y_inside = (y >= -1) & (y <= height)
        y = tl.minimum(tl.maximum(y, 0.0), height - 1.0)
        above = tl.floor(y).to(tl.int32)
        below = tl.minimum(above + 1, height - 1)
        lower = y - above
        for column in range(columns):
            x = first_x + (column + 0.5) * bin_width / columns
            inside = channel < tl.where(y_inside & (x >= -1) & (x <= width), channels, 0)
            x = tl.minimum(tl.maximum(x, 0.0), width - 1.0)
            before = tl.floor(x).to(tl.int32)
            after = tl.minimum(before + 1, width - 1)
            right = x - before
            upper_left = tl.load(cells + (above * width + before) * channels, inside, 0.0).to(tl.float32)
            upper_right = tl.load(cells + (above * width + after) * channels, inside, 0.0).to(tl.float32)
            lower_left = tl.load(cells + (below * width + before) * channels, inside, 0.0).to(tl.float32)
            lower_right = tl.load(cells + (below * width + after) * channels, inside, 0.0).to(tl.float32)
            upper = upper_left + right * (upper_right - upper_left)
            total += upper + lower * (lower_left + right * (lower_right - lower_left) - upper)
    total = total / tl.maximum(rows * columns, 1)
    target = output + (region.to(tl.int64) * BINS * BINS + place) * channels + channel
    tl.store(target, total.to(output.dtype.element_ty), used)


def launch(kernel: Any, pyramid: list[Tensor], boxes: Tensor, levels: Tensor, bins: int, sampling: int) -> Tensor:
    """Features (B, K, C, bins, bins) of boxes (B, K, 4) by ``kernel``, :func:`bins_kernel` in whatever wrapping.

    Args:
        kernel: takes a grid in brackets, then the arguments.
        pyramid: LEVELS maps (B, C, H, W), best in memory channels last.
        boxes: float32, in image pixels.
        levels: (B, K) int32.
        bins: of a region on each axis.
        sampling: samples a bin on each axis, 0 for adaptive.
    """
    batch, channels = pyramid[0].shape[:2]
    count = boxes.shape[1]
    maps = [x.permute(0, 2, 3, 1).contiguous() for x in pyramid]
    sizes = [x.shape[1] for x in maps] + [x.shape[2] for x in maps]
    output = torch.empty((batch * count, bins * bins, channels), dtype=maps[0].dtype, device=boxes.device)
    block = triton.next_power_of_2(channels)
    # A warp moves 16 bytes a lane of 256 channels in half precision: more warps would wait for each other.
    kernel[(batch * count, bins * bins)](
        *maps, *sizes, boxes.contiguous(), levels.contiguous(), output, count, channels,
        BINS=bins, SAMPLING=sampling, BLOCK=block, num_warps=1,
    )  # fmt: skip
    return output.reshape(batch, count, bins, bins, channels).permute(0, 1, 4, 2, 3)


@torch.library.triton_op("qdtrack::roi_align", mutates_args={})
def roi_align(pyramid: list[Tensor], boxes: Tensor, levels: Tensor, bins: int, sampling: int) -> Tensor:
    """:func:`launch` as an operation that torch's compilers know; it has no gradient."""
    return launch(torch.library.wrap_triton(bins_kernel), pyramid, boxes, levels, bins, sampling)
