"""Tensors into a network, strictly: what every way of loading weights shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


class CheckpointError(ValueError):
    """Weights that cannot be used; the text names the file and what was expected."""


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str, may_lack: tuple[str, ...] = ()) -> None:
    """Copy ``tensors`` into ``network`` by name.

    Args:
        network: takes the values.
        tensors: by the names of ``network.state_dict()``.
        source: what the tensors were read from, for the error.
        may_lack: beginnings of names that may be missing; those keep their values.

    Raises:
        CheckpointError: tensors are missing, left over, of another shape, or not finite.
    """
    wanted = network.state_dict()
    missing = wanted.keys() - tensors.keys()
    problems = [f"missing {name}" for name in missing if not name.startswith(may_lack)]
    problems += [f"unknown {name}" for name in tensors.keys() - wanted.keys()]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & tensors.keys()
        if tensors[name].shape != wanted[name].shape
    ]
    problems += [f"{name} is not finite" for name in tensors if not bool(tensors[name].isfinite().all())]
    if problems:
        shown = "; ".join(sorted(problems)[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise CheckpointError(f"{source}: does not fit the network it describes: {shown}")
    network.load_state_dict(tensors, strict=not may_lack)
