"""Devices, precision and processes, which are Lightning Fabric's work: one process, or several that torchrun starts.

Fabric and not accelerate: it keeps no state of its own between trainings, and brings no client of a model hub.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

from qdtrack_model.config import ConfigError
from qdtrack_model.training.config import TrainConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}


def process_count() -> int:
    """How many processes torchrun has started for this training, on all machines; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first_process() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return os.environ.get("RANK", "0") == "0"


def launch(config: TrainConfig, device: torch.device) -> Fabric:
    """This process as one of those that train together; each has its device and an equal part of every batch.

    Raises:
        ConfigError: the batch cannot be divided among them, or there is no fp16 on this device.
    """
    from lightning_fabric import Fabric  # seconds, which nothing else here needs
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    processes = process_count()
    parts = processes * config.accumulate
    if config.batch % parts:
        raise ConfigError(
            f"batch: got {config.batch}, expected a multiple of {parts} ({processes} processes, {config.accumulate} "
            "parts one after the other)"
        )
    if config.precision == "fp16" and device.type == "cpu":
        raise ConfigError("precision: got 'fp16', expected bf16 or fp32 on the CPU")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else it tells of its own choices on stderr
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=device.type,
        strategy="ddp" if processes > 1 else "auto",
        devices=local,
        num_nodes=processes // local,
        precision=PRECISIONS[config.precision],  # type: ignore[arg-type]
        # torchrun's processes or this one alone: Fabric would also take those of a Slurm job for processes of ours.
        plugins=TorchElasticEnvironment() if processes > 1 else LightningEnvironment(),
    )
    fabric.launch()
    return fabric


def mean_over_all(mean: Tensor, count: int | Tensor) -> Tensor:
    """This process's share of a mean over the things of all processes: their shares have the whole mean as average,
    and so have their gradients.

    A mean over a batch is not the average of means over its parts where these hold different numbers of things.

    Args:
        mean: over ``count`` things of this process; their sum where there is none.
        count: 0 or more.
    """
    if process_count() == 1:
        return mean
    own = torch.as_tensor(count, dtype=torch.float32, device=mean.device)
    average = own.clone()
    distributed.all_reduce(average)
    average /= process_count()
    return mean * own.clamp(min=1) / average.clamp(min=1 / process_count())
