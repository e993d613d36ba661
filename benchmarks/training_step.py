"""What a training step of the shipped network costs in every precision and memory layout, side by side.

    python benchmarks/training_step.py

The steps are those of ``qdtrack train config/training/street.yaml``, on frames of a synthetic street that are drawn
before the clock runs. Every row learns the same pairs from the same weights; the ratio is to the first row.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Literal

import torch

from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.data.samples import LabelledImage, Objects, SampleSet
from qdtrack_model.networks import build
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.training.batches import load_batches
from qdtrack_model.training.config import TrainConfig, read_recipe
from qdtrack_model.training.loop import Training, make_optimizer
from qdtrack_model.training.processes import launch
from qdtrack_model.training.schedule import make_schedule
from qdtrack_model.training.state import TrainingState
from qdtrack_model.training.steps import Batch, Step, step_for

RECIPE = Path(__file__).parents[1] / "config" / "training" / "street.yaml"
WARM_UP = 2  # steps
PRECISIONS: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def street(frames: int) -> SampleSet:
    """Frames of a synthetic street and their boxes."""
    seen = ((frame.image, frame.truth) for frame in Scene(SceneConfig(seed=0, frames=frames)))
    return SampleSet([LabelledImage(image, Objects(t.boxes, t.ids, t.classes)) for image, t in seen])


def seconds(
    config: TrainConfig, parts: Step, network: torch.nn.Module, batches: list[Batch], layout: torch.memory_format
) -> float:
    """The median time of a step from a copy of ``network``."""
    fabric = launch(config, torch.device("cpu"))
    learning = copy.deepcopy(network).to(memory_format=layout).train()  # type: ignore[call-overload]
    parts.prepare(learning)
    ema = copy.deepcopy(learning).eval()
    state = TrainingState(learning, ema, make_optimizer(learning, config), fabric.strategy.precision)
    training, times = Training(config, fabric, parts, make_schedule(config, 1.0), state), []
    for batch in batches:
        start = time.perf_counter()
        training.learn([batch])
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=positive_integer, default=6)
    args = parser.parse_args()
    torch.manual_seed(0)
    config = read_recipe(RECIPE)
    parts = step_for(config, [street(8)])
    batches = list(load_batches(config, parts, range(args.steps + WARM_UP)))
    network, first = build(config.model), None
    print(f"{config.batch} pairs a step, {torch.get_num_threads()} threads")
    for precision in PRECISIONS:
        for name, layout in LAYOUTS.items():
            taken = seconds(dataclasses.replace(config, precision=precision), parts, network, batches, layout)
            first = first or taken
            print(f"{precision}, {name:13}  {taken:6.2f} s a step, {first / taken:.2f}x")


if __name__ == "__main__":
    main()
