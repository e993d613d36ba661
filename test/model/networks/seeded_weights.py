"""Weights and an image that anybody can make again: those that the reference of the whole network was read with.

A tensor depends on the seed and its name alone, so that networks of any layout get the same ones.
"""

from __future__ import annotations

import zlib

import numpy as np

from qdtrack_model.structures import Array

# Of the last part of a name: without training these keep the activations of a 50-layer residual network in range.
GAINS = {"bn3": 0.25, "rpn_cls": 0.4, "rpn_reg": 0.05, "fc_cls": 0.15, "fc_reg": 0.15, "fc_embed": 3.0}


def tensor(seed: int, name: str, shape: tuple[int, ...], input_scale: float = 1.0) -> Array:
    """The float32 values of the tensor ``name``.

    Args:
        name: the network's own name of it, without a prefix of the embedding head.
        shape: its shape.
        input_scale: divides the first convolution: 60 where images are not divided by their deviation.
    """
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    *_, layer, kind = name.split(".")
    if kind == "running_var":
        return random.uniform(0.7, 1.4, shape).astype(np.float32)
    if kind in ("running_mean", "bias"):
        return (0.05 * random.standard_normal(shape)).astype(np.float32)
    if len(shape) == 1:  # scale of a norm
        return (GAINS.get(layer, 1.0) * random.uniform(0.8, 1.2, shape)).astype(np.float32)
    scale = input_scale if name == "backbone.conv1.weight" else 1.0
    gain = GAINS.get(layer, 1.4) / scale / np.sqrt(np.prod(shape[1:]))
    return (gain * random.standard_normal(shape)).astype(np.float32)


def image(seed: int, height: int, width: int) -> Array:
    """An image (height, width, 3) uint8 of 40 coloured rectangles and noise."""
    random = np.random.default_rng([seed, 7])
    canvas = np.zeros((height, width, 3), np.float32)
    rows, columns = np.mgrid[:height, :width]
    for _ in range(40):
        y, x = random.uniform(0, height), random.uniform(0, width)
        h, w = random.uniform(10, 90), random.uniform(8, 60)
        canvas[(np.abs(rows - y) < h / 2) & (np.abs(columns - x) < w / 2)] = random.uniform(0, 255, 3)
    canvas += 12 * random.standard_normal(canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8)
