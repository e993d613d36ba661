"""Public checkpoints of other projects into this project's networks, by their keys (``layouts.py``).

Of QDTrack and its detector all layouts hold the same tensors under the same names but for prefixes. What differs
without showing in the tensors is where the backbone strides and how images are normalised: the preset says it, unless
the file carries the configuration it was trained with, which then wins. Files are read as weights only: no code in them
is ever run.
"""

from __future__ import annotations

import dataclasses
import pickle
import pickletools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from qdtrack_model.cache import sha256
from qdtrack_model.checkpoints.classes import check_classes, class_names, select_classes
from qdtrack_model.checkpoints.files import save
from qdtrack_model.checkpoints.layouts import FAIRMOT_LAYOUTS, IMAGENET, LAYOUTS, TORCHVISION, Layout
from qdtrack_model.checkpoints.presets import Preset, read_preset
from qdtrack_model.checkpoints.tensors import CheckpointError, fill
from qdtrack_model.config import FairMotModelConfig, QDTrackConfig

if TYPE_CHECKING:
    from torch import Tensor

    from qdtrack_model.networks import FairMotNetwork, QDTrack

PublicConfig: TypeAlias = QDTrackConfig | FairMotModelConfig  # of networks that others have published weights for


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint.

    Args:
        network: in evaluation mode; ``network.config`` has the style and normalisation that the weights need.
        layout: where it came from.
        used: number of tensors used.
        unused: keys that have no place in the network, such as counters and a classifier of ImageNet's classes.
        fresh: parts of the network that the file does not hold; they have random weights, the same every time.
    """

    network: QDTrack | FairMotNetwork
    layout: str
    used: int
    unused: tuple[str, ...]
    fresh: tuple[str, ...]


def convert(
    source: str | Path | Mapping[str, Any], config: PublicConfig, classes: Sequence[str] | None = None
) -> Conversion:
    """Convert a public checkpoint.

    Args:
        source: a file, or what it holds: a state dict, or a mapping with ``state_dict`` and perhaps ``meta``.
        config: the network expected. Of QDTrack style, normalisation, padding and class names are replaced by what the
            file says of them; of FairMOT's network everything that shows in the tensors but the backbone.
        classes: those of the file that stand for the classes of ``config``, in their order, whose names then stay;
            None where the file has the same ones.

    Raises:
        CheckpointError: the file cannot be read, holds code, has an unknown layout or does not fit ``config``.
    """
    import torch

    from qdtrack_model.networks import FairMotNetwork, QDTrack

    where = "state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_foreign(Path(source))
    state, meta = _state_and_meta(content, where)
    layouts = LAYOUTS if isinstance(config, QDTrackConfig) else FAIRMOT_LAYOUTS[config.backbone]
    layout = next((layout for layout in layouts if layout.fits(set(state))), None)
    if layout is None:
        known = "; ".join(f"{layout.name} ({', '.join(layout.marks)})" for layout in layouts)
        raise CheckpointError(
            f"{where}: unknown layout: its {len(state)} keys begin with {', '.join(sorted(state)[:3])}, "
            f"expected the keys of one of: {known}"
        )
    names = {key: layout.rename(key) for key in state}
    tensors = {name: state[key] for key, name in names.items() if name is not None}
    if len(tensors) < sum(name is not None for name in names.values()):
        raise CheckpointError(f"{where}: two of its keys mean the same tensor; expected one layout in one file")
    if isinstance(config, FairMotModelConfig):
        if classes is not None:
            raise CheckpointError(f"{where}: --classes: a file of FairMOT's network does not name its classes")
        config = _as_shaped(config, tensors)
    else:
        if classes is not None:
            tensors = select_classes(tensors, meta, classes, where)
        config = _as_declared(config, layout, tensors, meta, where, renamed=classes is not None)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = QDTrack(config) if isinstance(config, QDTrackConfig) else FairMotNetwork(config)
    fill(network, tensors, where, may_lack=layout.lacks)
    unused = tuple(sorted(key for key, name in names.items() if name is None))
    return Conversion(network.eval(), layout.name, len(tensors), unused, layout.lacks)


def _as_shaped(config: FairMotModelConfig, tensors: Mapping[str, Tensor]) -> FairMotModelConfig:
    """``config`` with what the shapes of a file's tensors say, where it has the heads."""
    if any(name.startswith("backbone.dla_up") for name in tensors):
        config = dataclasses.replace(config, deformable=any("conv_offset_mask" in name for name in tensors))
    if "id.2.weight" not in tensors or "wh.2.weight" not in tensors:
        return config
    embedding_size, head_width = tensors["id.2.weight"].shape[:2]
    return dataclasses.replace(
        config,
        embedding_size=int(embedding_size),
        head_width=int(head_width),
        size="ltrb" if len(tensors["wh.2.weight"]) == 4 else "wh",
    )


def _as_declared(
    config: QDTrackConfig,
    layout: Layout,
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    where: str,
    renamed: bool,
) -> QDTrackConfig:
    """``config`` with what a file says of itself; its class names only where they are not ``renamed``."""
    if layout is TORCHVISION:
        return dataclasses.replace(config, **IMAGENET)
    check_classes(tensors, config, where)
    config = dataclasses.replace(config, **_declared(meta))
    named = None if renamed else class_names(meta, len(config.classes))
    if named is not None:
        config = dataclasses.replace(config, classes=named)
    return dataclasses.replace(config, padding=config.mean_colour)  # all of them pad after normalisation, with 0


def convert_file(
    source: Path, preset: Preset, output: Path, origin: Mapping[str, Any], classes: Sequence[str] | None = None
) -> Conversion:
    """Convert a public checkpoint and write weights that say where they come from.

    Args:
        source: a file of another project.
        preset: the network and tracker for it.
        output: weights to write.
        origin: what is known of where ``source`` comes from, for the provenance.
        classes: as :func:`convert` takes them.

    Raises:
        CheckpointError: the file cannot be read, holds code, has an unknown layout or does not fit the preset.
    """
    done = convert(source, preset.model, classes)
    provenance = {
        **origin,
        "sha256": sha256(source),
        "layout": done.layout,
        "unused": list(done.unused),
        "fresh": list(done.fresh),
    }
    save(output, done.network, done.network.config, preset.tracker, provenance)
    return done


def load_public(source: str | Path | Mapping[str, Any], preset: str | Path | PublicConfig) -> QDTrack | FairMotNetwork:
    """The network of a public checkpoint (mmtracking, mmdetection 3, SysCV, a torchvision backbone, FairMOT, CL-MOT).

    Args:
        source: a file, a state dict, or a mapping with ``state_dict`` and ``meta``.
        preset: name of a preset, path of a file like ``config/networks/mot17.yaml``, or the network's configuration.

    Returns:
        The network in evaluation mode; ``stages(images)`` of a QDTrack gives every intermediate result by name.

    Raises:
        CheckpointError: the file cannot be read, holds code, has an unknown layout or does not fit the preset.
        ConfigError: no such preset, or a broken one.
    """
    config = preset if isinstance(preset, QDTrackConfig | FairMotModelConfig) else read_preset(preset).model
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
    if all(key.startswith("module.") for key in state):  # saved while it was trained on several GPUs
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state), meta if isinstance(meta, Mapping) else {}


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
