"""A step is the same however its batch is divided: among processes, or into parts one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.networks.resnet import ResNet

from .scene import write_folder

RECIPE = """
architecture: qdtrack
model: {classes: [pedestrian], input_size: [64, 96], depth: 18, style: pytorch, channels: 32, head_width: 32,
  embedding_size: 16, sampling: 1, proposals_per_level: 60, proposals: 60, max_detections: 20}
steps: 3
batch: 4
precision: fp32
learning_rate: 0.005
warm_up: 0
anchor_samples: 32
box_samples: 16
region_samples: 16
pairs: {crop_size: [64, 64]}
"""
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "qdtrack_model.cli")
# Kills itself as `kill -9` does, in its sixth step; everything is saved that is done.
KILLED = """
import os, signal
from qdtrack_model import cli
from qdtrack_model.training import loop
loop.SAVE_EVERY, learn, calls = -1.0, loop.Training.learn, []
def dying(self, batches):
    calls.append(1)
    if len(calls) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    learn(self, batches)
loop.Training.learn = dying
cli.main()
"""


@pytest.fixture
def recipe(tmp_path: Path) -> list[str]:
    torch.set_num_threads(1)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return [str(tmp_path / "recipe.yaml"), f"data.root={write_folder(tmp_path / 'blocks')}"]


def trained(output: Path) -> dict[str, torch.Tensor]:
    return checkpoints.load(output).network().state_dict()


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def test_two_processes_learn_what_one_does(recipe: list[str], tmp_path: Path) -> None:
    assert main(["train", *recipe, "--output", str(tmp_path / "one.safetensors")]) == 0
    done = python("-m", *TORCHRUN, "train", *recipe, "--output", str(tmp_path / "two.safetensors"))
    assert done.returncode == 0, done.stderr
    one, two = trained(tmp_path / "one.safetensors"), trained(tmp_path / "two.safetensors")
    # Rounding alone makes 1e-5, losses that each process divides by its own objects 2e-2.
    for name, values in one.items():
        torch.testing.assert_close(values, two[name], rtol=0, atol=5e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_parts_one_after_the_other_are_averaged(recipe: list[str], tmp_path: Path) -> None:
    """To the last digits they are not the whole batch: each part divides its losses by the things that it holds."""
    for parts in (1, 4):
        output = str(tmp_path / f"{parts}.safetensors")
        assert main(["train", *recipe, f"accumulate={parts}", "steps=1", "--output", output]) == 0
    whole, parted = trained(tmp_path / "1.safetensors"), trained(tmp_path / "4.safetensors")
    for name, values in whole.items():
        torch.testing.assert_close(values, parted[name], rtol=0.05, atol=2e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_a_killed_training_goes_on_to_the_same_weights(recipe: list[str], tmp_path: Path) -> None:
    output = tmp_path / "killed.safetensors"
    changes = [*recipe, "batch=1", "steps=9", "optimizer=adamw", "ema_decay=0.9"]
    assert main(["train", *changes, "--output", str(tmp_path / "whole.safetensors")]) == 0
    done = python("-c", KILLED, "train", *changes, "--output", str(output))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert torch.load(output.with_suffix(".state.pt"))["step"] == 5
    assert main(["train", *changes, "--output", str(output), "--resume", "--workers", "1"]) == 0
    whole = trained(tmp_path / "whole.safetensors")
    assert all(torch.equal(values, whole[name]) for name, values in trained(output).items())


def test_a_training_that_has_ended_is_given_more_steps(recipe: list[str], tmp_path: Path) -> None:
    """Where the rate is the same, to what it would have learned at once."""
    changes = ["train", *recipe, "batch=1", "milestones=9"]
    for steps in (2, 4):
        assert main([*changes, f"steps={steps}", "--output", str(tmp_path / "more.safetensors"), "--resume"]) == 0
        assert checkpoints.load(tmp_path / "more.safetensors").provenance["step"] == steps
    assert main([*changes, "steps=4", "--output", str(tmp_path / "whole.safetensors")]) == 0
    whole = trained(tmp_path / "whole.safetensors")
    assert all(torch.equal(values, whole[name]) for name, values in trained(tmp_path / "more.safetensors").items())


@pytest.mark.parametrize(("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_network_computes_as_the_recipe_says(
    recipe: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, expected: torch.dtype
) -> None:
    real, seen = ResNet.forward, []

    def watched(network: ResNet, images: torch.Tensor) -> list[torch.Tensor]:
        levels = real(network, images)
        seen.append(levels[0].dtype)
        return levels

    monkeypatch.setattr(ResNet, "forward", watched)
    changes = [f"precision={precision}", "steps=1", "batch=1", "--output", str(tmp_path / "out.safetensors")]
    assert main(["train", *recipe, *changes]) == 0
    assert seen == [expected]
    assert {values.dtype for values in trained(tmp_path / "out.safetensors").values()} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that torch sees")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_learns_on_a_gpu(recipe: list[str], tmp_path: Path, precision: str) -> None:
    changes = [f"precision={precision}", "batch=2", "accumulate=2", "--output", str(tmp_path / "out.safetensors")]
    assert main(["train", *recipe, *changes, "--device", "cuda"]) == 0
    assert main(["train", *recipe, *changes, "--device", "cuda", "steps=5", "--resume"]) == 0


def test_a_batch_that_cannot_be_divided(
    recipe: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main(["train", *recipe, "--output", "never.safetensors"]) == 2
    assert (
        "batch: got 4, expected a multiple of 3 (3 processes, 1 parts one after the other)" in capsys.readouterr().err
    )
