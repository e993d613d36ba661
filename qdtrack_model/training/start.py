"""Weights that a training starts from: of this project, or a public checkpoint as it was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdtrack_model import checkpoints
from qdtrack_model.config import FairMotModelConfig, ModelConfig, QDTrackConfig, architecture_of

if TYPE_CHECKING:
    from torch import Tensor, nn

FOREIGN = (".pth", ".pt", ".ckpt")  # endings of what torch wrote


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Args:
        config: of the network that they are for.
        tensors: by the names of this project's networks; those that have learned nothing are left out.
    """

    config: ModelConfig
    tensors: Mapping[str, Tensor]


def start_from(
    network: nn.Module,
    config: ModelConfig,
    name_or_path: str,
    classes: Sequence[str] | None = None,
    anyway: bool = False,
) -> list[str]:
    """Copy into ``network`` what fits of other weights.

    Args:
        network: takes the values.
        config: its own.
        name_or_path: as :func:`read_start` takes it.
        classes: as :func:`read_start` takes them.
        anyway: take weights that would mean something else in this network, too.

    Returns:
        The names of the tensors that start afresh, and of parts of which all do.

    Raises:
        CheckpointError: there are no such weights, or they cannot be used.
        ValueError: they would mean something else in this network.
    """
    start = read_start(name_or_path, config, classes)
    wrong = disagreements(config, start.config)
    if not any(
        name.startswith("backbone.dla_up.") for name in start.tensors
    ):  # such as ImageNet's: nothing to disagree
        wrong = [told for told in wrong if not told.startswith("deformable ")]
    if wrong and not anyway:
        remedy = "choose weights or a recipe that fit, or start from them all the same with init_anyway=true"
        raise ValueError(f"init: {name_or_path}: {'; '.join(wrong)}; {remedy}")
    own = network.state_dict()
    fitting = {name: value for name, value in start.tensors.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(fitting, strict=False)
    begun = {name.split(".")[0] for name in fitting}
    return sorted({name if (part := name.split(".")[0]) in begun else part for name in own.keys() - fitting.keys()})


def read_start(name_or_path: str, config: ModelConfig, classes: Sequence[str] | None = None) -> Start:
    """Weights by name or path, also a public checkpoint as it was published.

    Args:
        name_or_path: weights of this project, or a file of another one.
        config: of the network that is trained.
        classes: those of another project's file that stand for the classes of ``config``, in their order.

    Raises:
        CheckpointError: there are none, or they cannot be used.
        ValueError: ``classes`` for weights of this project, or as many as the network does not have.
    """
    path = checkpoints.resolve(name_or_path)
    if path.suffix not in FOREIGN:
        if classes is not None:
            raise ValueError(
                f"init_classes: {name_or_path} are weights of this project, whose classes stay as they are"
            )
        checkpoint = checkpoints.load(path)
        return Start(checkpoint.config, _learned(checkpoint.network(), checkpoint.fresh))
    if not isinstance(config, QDTrackConfig | FairMotModelConfig):
        raise ValueError(
            f"init: {name_or_path}: a checkpoint of another project is a QDTrack, its detector or FairMOT's network, "
            f"the recipe's architecture is {architecture_of(config)!r}"
        )
    if classes is not None and len(classes) != len(config.classes):
        raise ValueError(f"init_classes: got {len(classes)}, expected one for each of {', '.join(config.classes)}")
    done = checkpoints.convert(path, config, classes)
    return Start(done.network.config, _learned(done.network, done.fresh))


def _learned(network: nn.Module, fresh: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if not name.startswith(fresh)}


def disagreements(own: ModelConfig, given: ModelConfig) -> list[str]:
    """By what weights of the network ``given`` mean something else in the network ``own``, though names and shapes fit.

    Classes count where there are equally many: otherwise the heads that know them do not fit and start afresh.
    """
    if type(own) is not type(given):
        return [f"architecture {architecture_of(given)!r}, expected {architecture_of(own)!r}"]
    found = [
        f"{key} {getattr(given, key)!r}, expected {getattr(own, key)!r}"
        for key in ("style", "backbone", "deformable", "size", "channel_order", "mean", "deviation")
        if getattr(given, key, None) != getattr(own, key, None)
    ]
    if len(own.classes) == len(given.classes):
        pairs = enumerate(zip(given.classes, own.classes, strict=True))
        found += [f"class {i} {theirs!r}, expected {ours!r}" for i, (theirs, ours) in pairs if theirs != ours][:1]
    return found
