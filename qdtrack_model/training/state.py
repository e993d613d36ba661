"""How far a training is: everything that it goes on from, in one file."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qdtrack_model.atomic import atomic_write

if TYPE_CHECKING:
    from lightning_fabric.plugins import Precision


PARTS = ("network", "ema", "optimizer", "precision")  # of a state, which know how to write down what they are
# Keys of a recipe that a training may go on with other values of: where its data are now, how much of a batch goes
# through the network at once, and how long it lasts.
ADJUSTABLE = ("accumulate", "epochs", "init", "max_steps", "steps")


class ResumeError(ValueError):
    """A training state that cannot be continued."""


@dataclass(eq=False)
class TrainingState:
    """A training at some step.

    Args:
        network: learns.
        ema: the average of its weights, which is the result.
        optimizer: of the network.
        precision: of its arithmetic; in fp16 it knows by how much gradients are scaled.
        step: steps done.
        means: of the terms of the loss over about 20 steps; None before the first.
        judged: the step after which the average was validated last; -1: never.
        best: its highest score so far.
    """

    network: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    precision: Precision
    step: int = 0
    means: Tensor | None = None
    judged: int = -1
    best: float = -math.inf

    def save(self, path: Path, origin: Mapping[str, Any]) -> None:
        """Write the file.

        Args:
            path: where to.
            origin: ``config`` (the recipe), ``data`` and ``validation`` (fingerprints), without which nothing that
                follows would be the same.
        """
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        values = {name: getattr(self, name) for name in ("step", "means", "judged", "best")}
        with atomic_write(path) as partial:
            torch.save({**parts, **values, **origin}, partial)

    def restore(self, path: Path, origin: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a file.

        Raises:
            ResumeError: it is broken, or began with another recipe, other data or other validation data. A training
                that had none may be given some, and one that has ended may be given more steps.
        """
        state = _read(path, device)
        if different := _different(state.get("config"), origin["config"]):
            raise ResumeError(f"{path}: began with another recipe ({different}); start afresh or use that recipe")
        if state.get("data") != origin["data"]:
            raise ResumeError(f"{path}: began with other data; give the same data.root and --frames or start afresh")
        if state.get("validation") not in (None, origin["validation"]):
            raise ResumeError(f"{path}: was validated on other data; give the same --validate or start afresh")
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.step, self.means = state["step"], state.get("means")
        self.judged, self.best = state.get("judged", self.judged), state.get("best", self.best)


def _different(began: Any, now: Mapping[str, Any]) -> str:
    """The keys by which a recipe differs from that of a state, but for those that do not matter; "" where none do."""
    if not isinstance(began, Mapping):
        return "unknown"
    fixed = [{key: value for key, value in recipe.items() if key not in ADJUSTABLE} for recipe in (began, now)]
    for recipe in fixed:
        recipe["data"] = {key: value for key, value in (recipe.get("data") or {}).items() if key != "root"}
    return ", ".join(sorted(key for key in fixed[0].keys() | fixed[1].keys() if fixed[0].get(key) != fixed[1].get(key)))


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        state = None
    if not isinstance(state, dict):
        raise ResumeError(f"{path}: not a training state, or cut off; remove it, or start without --resume")
    return state
