"""The networks that are measured, an image for them, and what they should find in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.boxes import box_iou
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.networks import QDTrack
from qdtrack_model.runtimes.graph import deployed
from qdtrack_model.structures import Array, Detections
from qdtrack_model.synthetic import Scene, SceneConfig


def seeded(name: str, folder: Path, **changes: Any) -> Checkpoint:
    """Weights of a QDTrack preset with features of unit size, so that boxes and scores are of ordinary sizes.

    ``changes`` replace values of the preset's network, such as ``input_size``.
    """
    preset = read_preset(name)
    config = dataclasses.replace(preset.model, **changes)
    torch.manual_seed(0)
    network = QDTrack(config).eval()
    with torch.no_grad():
        levels = network.pyramid(torch.randint(0, 256, (1, *config.input_size, 3), dtype=torch.uint8))
        for block, level in zip(network.neck.fpn_convs, levels, strict=False):
            block.get_submodule("conv").weight /= level.std()
        for layer in (network.rpn_head.rpn_cls, network.roi_head.bbox_head.fc_cls):
            torch.nn.init.normal_(layer.weight, std=0.1)
    path = folder / f"{name}.safetensors"
    checkpoints.save(path, network, config, preset.tracker, {})
    return checkpoints.load(path)


def open_model(name: str, folder: Path, size: tuple[int, int] | None, sampling: int | None = None) -> Checkpoint:
    """Shipped weights by name, a file, or a preset by name.

    Args:
        name: of weights or of a preset, or path of weights or of an exported graph.
        folder: where weights of a preset are written.
        size: (height, width) of the images, except for a graph, which has its own.
        sampling: of a preset's RoIAlign.
    """
    if name not in checkpoints.SHIPPED and not Path(name).is_file():
        changes = {"input_size": size, "sampling": sampling}
        return seeded(name, folder, **{key: value for key, value in changes.items() if value is not None})
    checkpoint = checkpoints.load(name)
    return resized(checkpoint, size if checkpoint.graph is None else None)


def resized(checkpoint: Checkpoint, size: tuple[int, int] | None) -> Checkpoint:
    """The same weights for images of (height, width)."""
    config = dataclasses.replace(checkpoint.config, input_size=size or checkpoint.config.input_size)
    return dataclasses.replace(checkpoint, config=config)


def street_images(checkpoint: Checkpoint, batch: int) -> Array:
    """Images (batch, H, W, 3) of a synthetic street, fitted into the network's input."""
    scene, preprocess = Scene(SceneConfig(seed=7)), Preprocessor(checkpoint.config)
    return preprocess([scene.frame(4 * index).image for index in range(batch)])[0]


def exact(checkpoint: Checkpoint, images: Array, device: str = "cpu") -> list[Detections]:
    """What the network finds when it computes in float64, by torch's plain operations on ``device``."""
    network = deployed(checkpoint, "fp32").double().requires_grad_(False).to(device)
    with torch.enable_grad():  # without it RoIAlign on a GPU would be the kernel that is to be judged
        outputs = network(torch.from_numpy(images).to(device))
    rows = zip(*(output.cpu().numpy() for output in outputs), strict=True)
    return [runtimes.to_detections(row, checkpoint.config.score_floor) for row in rows]


def deviation(found: Sequence[Detections], expected: Sequence[Detections]) -> dict[str, Any]:
    """How far detections are from the exact ones, over those of one class that overlap by half at least."""
    matched, boxes, scores = 0, 0.0, 0.0
    for one, other in zip(found, expected, strict=True):
        overlap = box_iou(other.boxes, one.boxes) * (other.labels[:, None] == one.labels)
        for row in range(len(other)):
            column = int(overlap[row].argmax()) if len(one) else 0
            if len(one) and overlap[row, column] >= 0.5:
                matched += 1
                boxes = max(boxes, float(np.abs(one.boxes[column] - other.boxes[row]).max()))
                scores = max(scores, float(np.abs(one.scores[column] - other.scores[row])))
    return {
        "matched": f"{matched} of {sum(map(len, expected))}",
        "box_error": boxes,
        "score_error": scores,
    }
