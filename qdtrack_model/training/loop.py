"""The training loop, in one place and visible: data, step, schedule, averaging, validation, progress, resume."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from qdtrack_model.config import to_mapping
from qdtrack_model.data.samples import SampleSet, fingerprint
from qdtrack_model.training.batches import load_batches
from qdtrack_model.training.config import TrainConfig
from qdtrack_model.training.log import Log
from qdtrack_model.training.processes import launch
from qdtrack_model.training.schedule import Schedule, epoch_images, make_schedule
from qdtrack_model.training.state import ResumeError, TrainingState
from qdtrack_model.training.steps import Batch, Step, step_for

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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


class Learner(nn.Module):
    """A network whose forward pass is its training step, as processes that learn together need it.

    Several processes exchange the gradients of what is computed in ``forward``, and precision is chosen around it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, losses: Callable[[nn.Module], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The unweighted terms of the loss of a batch, which ``losses`` knows: as an argument it would be rounded."""
        return losses(self.network)


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


class Training:
    """Everything that takes part in a step.

    Args:
        config: the recipe.
        fabric: device, precision and processes.
        parts: of the architecture.
        schedule: the rates.
        state: moves on; its network is on the device.
    """

    def __init__(
        self, config: TrainConfig, fabric: Fabric, parts: Step, schedule: Schedule, state: TrainingState
    ) -> None:
        self.config, self.fabric, self.schedule, self.state = config, fabric, schedule, state
        self.losses, self.finished = parts.losses, parts.finished
        self._learner, self._optimizer = fabric.setup(Learner(state.network), state.optimizer)

    def learn(self, parts: Sequence[Batch]) -> None:
        """One step: the terms of the loss, their gradient, the weights, the average of the weights.

        Args:
            parts: the batch of this process, on any device.

        Raises:
            DivergedError: the loss is no longer finite.
        """
        config, fabric, state = self.config, self.fabric, self.state
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(state.step)
        self._optimizer.zero_grad(set_to_none=True)
        latest = torch.zeros(len(config.weights), device=fabric.device)
        for number, batch in enumerate(parts, start=1):
            with fabric.no_backward_sync(self._learner, enabled=number < len(parts)):
                terms = self._terms(batch.to(fabric.device))
                fabric.backward(total(terms, config) / len(parts))
            latest += torch.stack([terms[name].detach() for name in config.weights]) / len(parts)
        self._clip()
        self._optimizer.step()
        update_ema(state.ema, state.network, config.ema_decay, state.step)
        state.step += 1
        mean = fabric.all_reduce(latest)  # over all processes
        assert isinstance(mean, Tensor)
        state.means = mean if state.means is None else state.means.lerp(mean, 0.05)

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        return self._learner(lambda network: self.losses(network, batch))

    def _clip(self) -> None:
        # In fp16 a gradient may overflow: the step is left out then, and the next one scaled less.
        strict = self.config.precision != "fp16"
        try:
            self.fabric.clip_gradients(
                self._learner, self._optimizer, max_norm=self.config.gradient_clip, error_if_nonfinite=strict
            )
        except RuntimeError as error:
            if "non-finite" not in str(error):
                raise
            raise self._diverged() from None

    def _diverged(self) -> DivergedError:
        return DivergedError(f"the loss is not finite at step {self.state.step}; lower learning_rate")

    def means(self) -> dict[str, float]:
        """The terms of the loss by name; on a GPU a look at them waits for all of its work.

        Raises:
            DivergedError: one of them is no longer finite.
        """
        if self.state.means is None:
            return {}
        values = self.state.means.tolist()
        if not all(map(math.isfinite, values)):
            raise self._diverged()
        return dict(zip(self.config.weights, values, strict=True))

    def validated(self, validation: Validation | None) -> dict[str, float]:
        """What validation says, by the names in the log, where it is time for one."""
        state = self.state
        if (
            validation is None
            or state.judged == state.step
            or (state.step % validation.every and state.step < self.schedule.last)
        ):
            return {}
        score, values = validation.judge(self.finished(state.ema), state.step, state.best)
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
    ``log_path``, see :class:`Log`. Where torchrun has started several processes they train together, and the first of
    them saves, validates and logs.

    Raises:
        ConfigError: the batch cannot be divided among the processes.
        ResumeError: the saved state is broken or belongs to another recipe or other data.
        DivergedError: the loss is no longer finite.
    """
    parts, schedule, fabric = step_for(config, sets), make_schedule(config, epoch_images(sets)), launch(config, device)
    network.to(fabric.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    parts.prepare(network)
    ema = copy.deepcopy(network).eval()
    state = TrainingState(network, ema, make_optimizer(network, config), fabric.strategy.precision)
    origin = {"config": to_mapping(config), "data": fingerprint(sets), "validation": validation and validation.data}
    if resume and state_path.exists():
        state.restore(state_path, origin, fabric.device)
    if fabric.all_reduce(torch.tensor(float(state.step), device=fabric.device)) != state.step:
        raise ResumeError(f"{state_path}: not the same for all processes; --output must be in a folder that they share")
    training = Training(config, fabric, parts, schedule, state)

    first, saved, shown, main = state.step, time.monotonic(), -math.inf, fabric.is_global_zero
    steps = range(first, schedule.last)
    batches = load_batches(config, parts, steps, fabric.global_rank, fabric.world_size, workers)
    progress = tqdm(steps, initial=first, total=schedule.last, desc="training", unit="step", disable=not main)
    log = Log(log_path, first) if log_path and main else None

    def report() -> None:
        """Validate and log where it is time to."""
        scores = training.validated(validation) if main else {}
        if scores:
            state.save(state_path, origin)  # so that the best is remembered
        if log and (scores or (state.step > first and state.step % LOG_EVERY == 0)):
            values = {f"loss/{name}": value for name, value in training.means().items()}
            rate = {"learning_rate": schedule.rate(state.step - 1)} if values else {}
            log.write(state.step, rate | values | scores)

    try:
        report()
        for _ in progress:
            training.learn([next(batches) for _ in range(config.accumulate)])
            report()
            if main and (time.monotonic() - shown > SHOW_EVERY or state.step == schedule.last):
                progress.set_postfix({k: f"{v:.3f}" for k, v in training.means().items()}, refresh=False)
                shown = time.monotonic()
            if main and time.monotonic() - saved > SAVE_EVERY:
                state.save(state_path, origin)
                saved = time.monotonic()
    finally:
        progress.close()
        if log:
            log.close()
        if main and state.step > first:
            state.save(state_path, origin)
    result: Network = parts.finished(ema).to("cpu")
    return result
