"""The training loop, in one place and visible: data, step, schedule, averaging, validation, progress, resume."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from qdtrack_model.config import to_mapping
from qdtrack_model.data.pairs import FramePairs
from qdtrack_model.data.samples import SampleSet, fingerprint
from qdtrack_model.training.config import TrainConfig
from qdtrack_model.training.log import Log
from qdtrack_model.training.state import TrainingState
from qdtrack_model.training.steps import Batch, Losses, step_for

SAVE_EVERY = 60.0  # seconds of work an interruption may cost
SHOW_EVERY = 1.0  # seconds between two looks at the terms of the loss: a look waits for all the work of the GPU
LOG_EVERY = 20  # steps; about as many as the terms of the loss are averaged over

Network = TypeVar("Network", bound=nn.Module)


class DivergedError(ValueError):
    """A loss that is no longer finite; the saved state is that before."""


@dataclass(frozen=True)
class Validation:
    """How averaged weights are judged while the network learns: at the beginning, again and again, and at the end.

    Args:
        every: steps between two times.
        data: fingerprint of what they are judged by.
        judge: averaged network, step, best score so far -> score and everything else to be logged. It keeps the
            network where the score is a new best.
    """

    every: int
    data: str
    judge: Callable[[nn.Module, int, float], tuple[float, Mapping[str, float]]]


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


def learn(state: TrainingState, batch: Batch, config: TrainConfig, losses: Losses) -> None:
    """One step: the terms of the loss, their gradient, the weights, the average of the weights.

    Args:
        state: moves on.
        batch: on the device of the network.
        config: rate and weights of the terms.
        losses: of the architecture, see :class:`Step`.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.step, config)
    with torch.autocast(batch.images.device.type, torch.bfloat16):
        terms = losses(state.network, batch)
    loss = total(terms, config)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    try:
        nn.utils.clip_grad_norm_(state.network.parameters(), config.gradient_clip, error_if_nonfinite=True)
    except RuntimeError as error:
        if "non-finite" not in str(error):
            raise
        raise DivergedError(f"the loss is not finite at step {state.step}; lower learning_rate") from None
    state.optimizer.step()
    update_ema(state.ema, state.network, config.ema_decay, state.step)
    state.step += 1
    latest = torch.stack([terms[name].detach() for name in config.weights])
    state.means = latest if state.means is None else state.means.lerp(latest, 0.05)


def means(state: TrainingState, config: TrainConfig) -> dict[str, float]:
    """The terms of the loss by name; on a GPU a look at them waits for all of its work."""
    return {} if state.means is None else dict(zip(config.weights, state.means.tolist(), strict=True))


def validated(state: TrainingState, config: TrainConfig, validation: Validation | None) -> dict[str, float]:
    """What validation says, by the names in the log, where it is time for one."""
    if (
        validation is None
        or state.judged == state.step
        or (state.step % validation.every and state.step < config.steps)
    ):
        return {}
    score, values = validation.judge(state.ema, state.step, state.best)
    state.best, state.judged = max(state.best, score), state.step
    return {f"validation/{name}": value for name, value in values.items()}


def train(
    config: TrainConfig,
    sets: Sequence[SampleSet],
    network: Network,
    state_path: Path,
    device: torch.device,
    workers: int = 0,
    resume: bool = False,
    validation: Validation | None = None,
    log_path: Path | None = None,
) -> Network:
    """Train ``network`` and return the averaged one, in evaluation mode on the CPU.

    The state is saved to ``state_path`` at least once a minute and when interrupted; with ``resume`` training goes
    on from there with the very pairs that would have come next. What is learned and what ``validation`` says goes to
    ``log_path``, see :class:`Log`.

    Raises:
        ResumeError: the saved state is broken or belongs to another recipe or other data.
        DivergedError: the loss is no longer finite.
    """
    parts = step_for(config)
    network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    parts.prepare(network)
    ema = copy.deepcopy(network).eval()
    state = TrainingState(network, ema, make_optimizer(network, config))
    origin = {"config": to_mapping(config), "data": fingerprint(sets), "validation": validation and validation.data}
    if resume and state_path.exists():
        state.restore(state_path, origin, device)
    first, saved, shown = state.step, time.monotonic(), -math.inf

    pairs = FramePairs(sets, config.pairs, config.seed, config.steps * config.batch, config.model.padding)
    loader = DataLoader(
        Subset(parts.dataset(pairs), range(first * config.batch, len(pairs))),
        config.batch,
        collate_fn=parts.collate,
        num_workers=workers,
    )
    progress = tqdm(loader, initial=first, total=config.steps, desc="training", unit="step")
    log = Log(log_path, first) if log_path else None

    def report() -> None:
        """Validate and log where it is time to."""
        scores = validated(state, config, validation)
        if scores:
            state.save(state_path, origin)  # so that the best is remembered
        if log and (scores or (state.step > first and state.step % LOG_EVERY == 0)):
            values = {f"loss/{name}": value for name, value in means(state, config).items()}
            rate = {"learning_rate": state.optimizer.param_groups[0]["lr"]} if values else {}
            log.write(state.step, rate | values | scores)

    try:
        report()
        for batch in progress:
            learn(state, batch.to(device), config, parts.losses)
            report()
            if time.monotonic() - shown > SHOW_EVERY or state.step == config.steps:
                progress.set_postfix({k: f"{v:.3f}" for k, v in means(state, config).items()}, refresh=False)
                shown = time.monotonic()
            if time.monotonic() - saved > SAVE_EVERY:
                state.save(state_path, origin)
                saved = time.monotonic()
    finally:
        progress.close()
        if log:
            log.close()
        if state.step > first:
            state.save(state_path, origin)
    return ema.to("cpu")
