"""What the tests of runtimes share: a small untrained network."""

from __future__ import annotations

import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> checkpoints.Checkpoint:
    """Weights of a one-shot network for images (64, 96), all of whose 20 detections count."""
    config = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20, score_floor=0.0)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(path, build(config), config, QuasiDenseConfig(init_score=0.6), {"seed": 0})
    return checkpoints.load(path)
