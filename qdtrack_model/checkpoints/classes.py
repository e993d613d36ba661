"""Which classes a public checkpoint knows, and which rows of its last layers stand for them.

mmdetection 2 and 3 alike: ``fc_cls`` has a row for each class and the last one for background, ``fc_reg`` four rows
for each class.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qdtrack_model.checkpoints.tensors import CheckpointError
from qdtrack_model.config import QDTrackConfig

if TYPE_CHECKING:
    from torch import Tensor

# The classes of COCO's boxes in the order of their ids, which is that of every detector of all 80.
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
SCORES, BOXES = "roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg"


def class_names(meta: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """The class names that a file carries beside its tensors, or None where it has not ``count`` of them."""
    data = meta.get("dataset_meta")
    for holder in (meta, data if isinstance(data, Mapping) else {}):
        for key in ("CLASSES", "classes"):
            names = holder.get(key)
            if isinstance(names, list | tuple) and len(names) == count and all(isinstance(n, str) for n in names):
                return tuple(names)
    return None


def class_count(tensors: Mapping[str, Tensor]) -> int | None:
    """How many classes the box head tells apart, or None where there is no box head."""
    scores = tensors.get(f"{SCORES}.bias")
    return None if scores is None else len(scores) - 1


def check_classes(tensors: Mapping[str, Tensor], config: QDTrackConfig, where: str) -> None:
    """Raise CheckpointError unless the box head knows as many classes as ``config`` has."""
    count = class_count(tensors)
    if count is not None and count != len(config.classes):
        raise CheckpointError(
            f"{where}: made for {count} classes, the preset has {len(config.classes)}; choose the preset of the data "
            "set it was trained on, copy one and list the classes there, or choose some of the file's by --classes"
        )


def select_classes(
    tensors: Mapping[str, Tensor], meta: Mapping[str, Any], classes: Sequence[str], where: str
) -> dict[str, Tensor]:
    """The tensors with the rows of these classes alone, in this order, and of background.

    Args:
        tensors: by the names of this project's network.
        meta: what the file says beside them; names the classes, unless they are the 80 of COCO or there is one.
        classes: names that the file gives them.
        where: the file, for the error.

    Raises:
        CheckpointError: the file has no such class, does not name its classes, or has no box head.
    """
    import torch

    count = class_count(tensors)
    if count is None:
        raise CheckpointError(f"{where}: has no box head to choose classes from; leave out --classes")
    named = class_names(meta, count)
    if named is None and count in (1, len(COCO)):
        named = COCO if count > 1 else tuple(classes[:1])
    if named is None:
        raise CheckpointError(f"{where}: does not name its {count} classes, so that none can be chosen by --classes")
    for name in classes:
        if name not in named:
            close = difflib.get_close_matches(name, named, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(named)}"
            raise CheckpointError(f"{where}: no class {name!r}; {hint}")
    rows = torch.tensor([named.index(name) for name in classes])
    picked = {SCORES: torch.cat([rows, torch.tensor([count])]), BOXES: (4 * rows[:, None] + torch.arange(4)).flatten()}
    full = {SCORES: count + 1, BOXES: 4 * count}  # another number of rows is left to whoever checks shapes
    return {
        name: tensor[picked[layer]]
        if (layer := name.rpartition(".")[0]) in picked and len(tensor) == full[layer]
        else tensor
        for name, tensor in tensors.items()
    }
