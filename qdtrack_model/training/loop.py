"""The training loop, in one place and visible: data, step, schedule, averaging, progress, resume."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from qdtrack_model.atomic import atomic_write
from qdtrack_model.config import to_mapping
from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.data.samples import SampleSet, fingerprint
from qdtrack_model.training.config import TrainConfig
from qdtrack_model.training.steps import step_for

SAVE_EVERY = 60.0  # seconds of work an interruption may cost
SHOW_EVERY = 1.0  # seconds between two looks at the terms of the loss: a look waits for all the work of the GPU

Network = TypeVar("Network", bound=nn.Module)


class ResumeError(ValueError):
    """A training state that cannot be continued."""


class DivergedError(ValueError):
    """A loss that is no longer finite; the saved state is that before."""


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up; then a tenth from each of ``milestones`` on, or without them half a cosine to a hundredth."""
    warm = min(1.0, (step + 1) / max(1, config.warm_up))
    if config.milestones:
        decay = 0.1 ** sum(step >= part * config.steps for part in config.milestones)
    else:
        decay = 0.01 + 0.99 * (1 + math.cos(math.pi * step / config.steps)) / 2
    return config.learning_rate * warm * decay


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, which leaves norms and biases without decay, or SGD, which decays everything as the paper does."""
    learned = [p for p in network.parameters() if p.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(learned, config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
    decayed, plain = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    )


def total(terms: dict[str, Tensor], config: TrainConfig) -> Tensor:
    """The weighted sum that is minimised."""
    weights = config.weights
    return sum((weights[name] * term for name, term in terms.items()), torch.zeros(()))


def update_ema(ema: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the network's; quickly in the first steps, when there is little to keep."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(ema.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def _save_state(path: Path, state: dict[str, Any]) -> None:
    with atomic_write(path) as partial:
        torch.save(state, partial)


def _load_state(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        state = None
    if not isinstance(state, dict):
        raise ResumeError(f"{path}: not a training state, or cut off; remove it, or start without --resume")
    return state


def train(
    config: TrainConfig,
    sets: Sequence[SampleSet],
    network: Network,
    state_path: Path,
    device: torch.device,
    workers: int = 0,
    resume: bool = False,
) -> Network:
    """Train ``network`` and return the averaged one, in evaluation mode on the CPU.

    The state is saved to ``state_path`` at least once a minute and when interrupted; with ``resume`` training goes
    on from there with the very pairs that would have come next.

    Raises:
        ResumeError: the saved state is broken or belongs to another recipe or other data.
        DivergedError: the loss is no longer finite.
    """
    parts = step_for(config)
    network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    parts.prepare(network)
    ema = copy.deepcopy(network).eval()
    optimizer = make_optimizer(network, config)
    first, data = 0, fingerprint(sets)
    if resume and state_path.exists():
        state = _load_state(state_path, device)
        if state.get("config") != to_mapping(config):
            raise ResumeError(f"{state_path}: belongs to another recipe; start afresh or use the recipe it began with")
        if state.get("data") != data:
            raise ResumeError(f"{state_path}: began with other data; give the same --data and --frames or start afresh")
        network.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]

    count = config.steps * config.batch
    pairs = FramePairs(sets, config.pairs, config.seed, count, config.model.padding)
    loader = DataLoader(
        Subset(parts.dataset(pairs), range(first * config.batch, len(pairs))),
        config.batch,
        collate_fn=parts.collate,
        num_workers=workers,
    )

    def save(step: int) -> None:
        state = {"network": network.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict()}
        _save_state(state_path, state | {"step": step, "config": to_mapping(config), "data": data})

    step, saved, shown = first, time.monotonic(), -math.inf
    means: Tensor | None = None  # of the terms of the loss, over about 20 steps
    progress = tqdm(loader, initial=first, total=config.steps, desc="training", unit="step")
    try:
        for batch in progress:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, config)
            with torch.autocast(device.type, torch.bfloat16):
                terms = parts.losses(network, batch.to(device))
            loss = total(terms, config)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip, error_if_nonfinite=True)
            optimizer.step()
            update_ema(ema, network, config.ema_decay, step)
            step += 1
            latest = torch.stack([term.detach() for term in terms.values()])
            means = latest if means is None else means.lerp(latest, 0.05)
            if time.monotonic() - shown > SHOW_EVERY or step == config.steps:
                values = zip(terms, means.tolist(), strict=True)
                progress.set_postfix({name: f"{value:.3f}" for name, value in values}, refresh=False)
                shown = time.monotonic()
            if time.monotonic() - saved > SAVE_EVERY:
                save(step)
                saved = time.monotonic()
    except RuntimeError as error:
        if "non-finite" in str(error):
            raise DivergedError(f"the loss is not finite at step {step}; lower learning_rate") from None
        raise
    finally:
        progress.close()
        if step > first:
            save(step)
    return ema.to("cpu")
