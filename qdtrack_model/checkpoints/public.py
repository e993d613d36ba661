"""Public QDTrack checkpoints of other projects into this project's network, by their keys.

All layouts hold the same tensors under the same names but for prefixes. What differs without showing in the tensors
is where the backbone strides and how images are normalised: the preset says it, unless the file carries the
configuration it was trained with, which then wins. Files are read as weights only: no code in them is ever run.
"""

from __future__ import annotations

import dataclasses
import pickle
import pickletools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.checkpoints.tensors import CheckpointError, fill
from qdtrack_model.config import QDTrackConfig

if TYPE_CHECKING:
    from torch import Tensor

    from qdtrack_model.networks import QDTrack


@dataclass(frozen=True)
class Layout:
    """How one project names the tensors.

    Args:
        name: for people.
        marks: beginnings of keys that this layout alone has, all of which must be there.
        prefixes: beginnings of keys and what stands for them in this project's network; the first that fits counts.
        unused: beginnings of keys that have no place in the network.
    """

    name: str
    marks: tuple[str, ...]
    prefixes: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()

    def fits(self, keys: set[str]) -> bool:
        return all(any(key.startswith(mark) for key in keys) for mark in self.marks)

    def rename(self, key: str) -> str | None:
        """The name in this project's network, or None for what has no place there."""
        if key.startswith(self.unused) or key.endswith(".num_batches_tracked"):
            return None
        return next((new + key.removeprefix(old) for old, new in self.prefixes if key.startswith(old)), key)


TORCHVISION = Layout("torchvision ResNet", ("conv1.weight", "layer1.", "layer4."), (("", "backbone."),), ("fc.",))
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
    TORCHVISION,
)
# torchvision's own normalisation and style.
IMAGENET: dict[str, Any] = {
    "style": "pytorch",
    "channel_order": "rgb",
    "mean": (123.675, 116.28, 103.53),
    "deviation": (58.395, 57.12, 57.375),
}


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint.

    Args:
        network: in evaluation mode; ``network.config`` has the style and normalisation that the weights need.
        layout: where it came from.
        used: number of tensors used.
        unused: keys that have no place in the network, such as counters and a classifier of ImageNet's classes.
        fresh: parts of the network that the file does not hold; they have fresh random weights.
    """

    network: QDTrack
    layout: str
    used: int
    unused: tuple[str, ...]
    fresh: tuple[str, ...]


def convert(source: str | Path | Mapping[str, Any], config: QDTrackConfig) -> Conversion:
    """Convert a public checkpoint.

    Args:
        source: a file, or what it holds: a state dict, or a mapping with ``state_dict`` and perhaps ``meta``.
        config: the network expected; style, normalisation and class names are replaced by what the file says of them.

    Raises:
        CheckpointError: the file cannot be read, holds code, has an unknown layout or does not fit ``config``.
    """
    from qdtrack_model.networks import QDTrack

    where = "state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_foreign(Path(source))
    state, meta = _state_and_meta(content, where)
    layout = next((layout for layout in LAYOUTS if layout.fits(set(state))), None)
    if layout is None:
        known = "; ".join(f"{layout.name} ({', '.join(layout.marks)})" for layout in LAYOUTS)
        raise CheckpointError(
            f"{where}: unknown layout: its {len(state)} keys begin with {', '.join(sorted(state)[:3])}, "
            f"expected the keys of one of: {known}"
        )
    names = {key: layout.rename(key) for key in state}
    tensors = {name: state[key] for key, name in names.items() if name is not None}
    if len(tensors) < sum(name is not None for name in names.values()):
        raise CheckpointError(f"{where}: two of its keys mean the same tensor; expected one layout in one file")
    if layout is TORCHVISION:
        config = dataclasses.replace(config, **IMAGENET)
    else:
        _check_classes(tensors, config, where)
        config = dataclasses.replace(config, **_declared(meta), **_class_names(meta, len(config.classes)))
        config = dataclasses.replace(config, padding=config.mean_colour)  # all of them pad after normalisation, with 0
    network = QDTrack(config)
    parts = tuple(name for name, _ in network.named_children() if name != "backbone")
    fresh = parts if layout is TORCHVISION else ()
    fill(network, tensors, where, may_lack=fresh)
    unused = tuple(sorted(key for key, name in names.items() if name is None))
    return Conversion(network.eval(), layout.name, len(tensors), unused, fresh)


def load_public(source: str | Path | Mapping[str, Any], preset: str | Path | QDTrackConfig) -> QDTrack:
    """The network of a public checkpoint (mmtracking, mmdetection 3, SysCV, or a torchvision backbone).

    Args:
        source: a file, a state dict, or a mapping with ``state_dict`` and ``meta``.
        preset: name of a preset, path of a file like ``config/networks/mot17.yaml``, or the network's configuration.

    Returns:
        The network in evaluation mode; its ``stages(images)`` gives every intermediate result by name.

    Raises:
        CheckpointError: the file cannot be read, holds code, has an unknown layout or does not fit the preset.
        ConfigError: no such preset, or a broken one.
    """
    config = preset if isinstance(preset, QDTrackConfig) else read_preset(preset).model
    return convert(source, config).network


def read_foreign(path: Path) -> Mapping[str, Any]:
    """What a checkpoint file of another project holds; nothing in it is executed.

    Raises:
        CheckpointError: no such file, not a checkpoint, incomplete, or with code in it.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a checkpoint of another project")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        found = named[1] if named else _pickled_name(path)
        if found:
            raise CheckpointError(
                f"{path}: refused: beside tensors it holds {found}, which only running code from the file could "
                "make; save its `state_dict` alone where the file was made, and convert that"
            ) from None
        raise CheckpointError(f"{path}: not a readable checkpoint; is it complete?") from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); is it complete?") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a mapping of names to tensors")
    return content


def _pickled_name(path: Path) -> str | None:
    """The first class or function that a plain pickle names, found by reading its instructions, not by obeying them.

    torch says it of its own files alone.
    """
    strings: list[str] = []
    try:
        for instruction, argument, _ in pickletools.genops(path.read_bytes()):
            if instruction.name in ("GLOBAL", "INST"):
                return str(argument).replace(" ", ".")
            if instruction.name == "STACK_GLOBAL":
                return ".".join(strings[-2:])
            if isinstance(argument, str):
                strings.append(argument)
    except ValueError:
        pass  # no pickle at all
    return None


def _state_and_meta(content: Mapping[str, Any], where: str) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    import torch

    state = content.get("state_dict", content)
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{where}: holds no tensors, expected a state dict")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{where}: {key!r} is a {type(value).__name__}, expected a state dict of tensors")
    meta = content.get("meta", {}) if "state_dict" in content else {}
    return dict(state), meta if isinstance(meta, Mapping) else {}


def _check_classes(tensors: Mapping[str, Tensor], config: QDTrackConfig, where: str) -> None:
    scores = tensors.get("roi_head.bbox_head.fc_cls.bias")
    if scores is not None and len(scores) != len(config.classes) + 1:
        raise CheckpointError(
            f"{where}: made for {len(scores) - 1} classes, the preset has {len(config.classes)}; choose the preset of "
            "the data set it was trained on, or copy one and list the classes there"
        )


def _declared(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Style and normalisation in the training configuration that a file carries, so far as it is unambiguous."""
    text = str(meta.get("config") or meta.get("cfg") or "")
    number = r"\s*(-?[\d.]+)\s*"
    triple = r"\s*=\s*[\[(]" + ",".join([number] * 3) + r",?\s*[\])]"

    def only(pattern: str) -> Any:
        values = set(re.findall(pattern, text))
        return values.pop() if len(values) == 1 else None

    result: dict[str, Any] = {}
    if style := only(r"\bstyle\s*=\s*['\"](pytorch|caffe)['\"]"):
        result["style"] = style
    if rgb := only(r"\b(?:bgr_)?to_rgb\s*=\s*(True|False)"):
        result["channel_order"] = "rgb" if rgb == "True" else "bgr"
    for key, name in (("mean", "mean"), ("std", "deviation")):
        if numbers := only(rf"\b{key}{triple}"):
            result[name] = tuple(map(float, numbers))
    return result


def _class_names(meta: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The class names that a file carries, if they are as many as its heads have."""
    data = meta.get("dataset_meta")
    for holder in (meta, data if isinstance(data, Mapping) else {}):
        for key in ("CLASSES", "classes"):
            names = holder.get(key)
            if isinstance(names, list | tuple) and len(names) == count and all(isinstance(n, str) for n in names):
                return {"classes": tuple(names)}
    return {}
