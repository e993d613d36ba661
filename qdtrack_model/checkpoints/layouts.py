"""How public checkpoints name their tensors, and what stands for them in this project's networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layout:
    """How one project names the tensors.

    Args:
        name: for people.
        marks: beginnings of keys that this layout alone has, all of which must be there.
        prefixes: beginnings of keys and what stands for them in this project's network; the first that fits counts.
        unused: beginnings of keys that have no place in the network.
        lacks: parts of the network that files of this layout do not hold.
    """

    name: str
    marks: tuple[str, ...]
    prefixes: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def fits(self, keys: set[str]) -> bool:
        return all(any(key.startswith(mark) for key in keys) for mark in self.marks)

    def rename(self, key: str) -> str | None:
        """The name in this project's network, or None for what has no place there."""
        if key.startswith(self.unused) or key.endswith(".num_batches_tracked"):
            return None
        return next((new + key.removeprefix(old) for old, new in self.prefixes if key.startswith(old)), key)


TORCHVISION = Layout(
    "torchvision ResNet",
    ("conv1.weight", "layer1.", "layer4."),
    (("", "backbone."),),
    ("fc.",),
    ("neck", "rpn_head", "roi_head", "embedding_head"),
)
LAYOUTS = (
    Layout(
        "mmtracking or mmdetection 3",
        ("detector.backbone.", "track_head.embed_head."),
        (("detector.", ""), ("track_head.embed_head.", "embedding_head.")),
        ("data_preprocessor.",),
    ),
    Layout(
        "SysCV, newest",
        ("detector.backbone.", "track_head.track_head."),
        (("detector.", ""), ("track_head.track_head.", "embedding_head.")),
    ),
    Layout("SysCV, 2021", ("backbone.", "roi_head.track_head."), (("roi_head.track_head.", "embedding_head."),)),
    Layout(
        "mmdetection's Faster R-CNN",
        ("backbone.", "neck.", "rpn_head.", "roi_head.bbox_head."),
        (),
        ("data_preprocessor.",),
        ("embedding_head",),
    ),
    TORCHVISION,
)
_HEADS = ("hm", "wh", "reg", "id")
_FAIRMOT = (*((f"{head}.", f"{head}.") for head in _HEADS), ("", "backbone."))
_UNUSED = ("level3.project.", "level4.project.")  # of DLA's upper trees, whose blocks project for themselves
FAIRMOT_LAYOUTS = {
    "dla34": (
        Layout(
            "FairMOT or CL-MOT with DLA-34",
            ("base.level5.", "dla_up.", "ida_up.", "hm.", "id."),
            _FAIRMOT,
            tuple(f"base.{name}" for name in ("fc.", *_UNUSED)),
        ),
        # What FairMOT and CL-MOT begin with: a detector of COCO's 80 classes, whose heads know nothing of ours.
        Layout(
            "CenterNet with DLA-34",
            ("base.level5.", "dla_up.", "ida_up.", "hm."),
            _FAIRMOT,
            ("hm.", "wh.", *(f"base.{name}" for name in ("fc.", *_UNUSED))),
            ("hm", "wh", "id"),
        ),
        Layout(
            "DLA-34 of ImageNet",
            ("base_layer.", "level5."),
            (("", "backbone.base."),),
            ("fc.", *_UNUSED),
            ("backbone.dla_up", "backbone.ida_up", *_HEADS),
        ),
    ),
    "hrnet_w18": (
        Layout("FairMOT with HRNetV2-W18", ("stage4.", "last_layer.", "hm.", "id."), _FAIRMOT),
        Layout(
            "HRNetV2-W18 of ImageNet",
            ("conv2.", "stage4."),
            (("", "backbone."),),
            ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier."),
            ("backbone.last_layer", *_HEADS),
        ),
    ),
}
# torchvision's own normalisation and style.
IMAGENET: dict[str, Any] = {
    "style": "pytorch",
    "channel_order": "rgb",
    "mean": (123.675, 116.28, 103.53),
    "deviation": (58.395, 57.12, 57.375),
}
