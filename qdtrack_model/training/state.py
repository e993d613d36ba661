"""How far a training is: everything that it goes on from, in one file."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qdtrack_model.atomic import atomic_write


class ResumeError(ValueError):
    """A training state that cannot be continued."""


@dataclass(eq=False)
class TrainingState:
    """A training at some step.

    Args:
        network: learns.
        ema: the average of its weights, which is the result.
        optimizer: of the network.
        step: steps done.
        means: of the terms of the loss over about 20 steps; None before the first.
        judged: the step after which the average was validated last; -1: never.
        best: its highest score so far.
    """

    network: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
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
        parts = {name: getattr(self, name).state_dict() for name in ("network", "ema", "optimizer")}
        values = {name: getattr(self, name) for name in ("step", "means", "judged", "best")}
        with atomic_write(path) as partial:
            torch.save({**parts, **values, **origin}, partial)

    def restore(self, path: Path, origin: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a file.

        Raises:
            ResumeError: it is broken, or began with another recipe, other data or other validation data. A training
                that had none may be given some.
        """
        state = _read(path, device)
        if state.get("config") != origin["config"]:
            raise ResumeError(f"{path}: belongs to another recipe; start afresh or use the recipe it began with")
        if state.get("data") != origin["data"]:
            raise ResumeError(f"{path}: began with other data; give the same --data and --frames or start afresh")
        if state.get("validation") not in (None, origin["validation"]):
            raise ResumeError(f"{path}: was validated on other data; give the same --validate or start afresh")
        for name in ("network", "ema", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.means = state["step"], state.get("means")
        self.judged, self.best = state.get("judged", self.judged), state.get("best", self.best)


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        state = None
    if not isinstance(state, dict):
        raise ResumeError(f"{path}: not a training state, or cut off; remove it, or start without --resume")
    return state
