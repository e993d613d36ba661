"""Networks without batch norms compute what they did with them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qdtrack_model.config import ModelConfig, OneShotConfig, QDTrackConfig
from qdtrack_model.networks import build
from qdtrack_model.networks.folding import fold_norms
from qdtrack_model.networks.resnet import BatchNorm

NORMS = (BatchNorm, nn.BatchNorm2d)
ONE_SHOT = OneShotConfig(input_size=(32, 64), width=0.125, max_detections=20)
TWO_STAGE = {"input_size": (32, 64), "channels": 32, "head_width": 32, "embedding_size": 16, "proposals": 100}


@pytest.mark.parametrize(
    "config",
    [ONE_SHOT, QDTrackConfig(depth=18, **TWO_STAGE), QDTrackConfig(depth=50, **TWO_STAGE)],  # type: ignore[arg-type]
    ids=["one-shot", "ResNet-18", "ResNet-50"],
)
@torch.no_grad()
def test_features_are_the_same_without_norms(config: ModelConfig) -> None:
    torch.manual_seed(0)
    network = build(config).eval()
    for norm in (module for module in network.modules() if isinstance(module, NORMS)):
        for values in (norm.weight, norm.running_var):
            nn.init.uniform_(values, 0.5, 1.5)
        for values in (norm.bias, norm.running_mean):
            nn.init.normal_(values, std=0.1)
    features = network.get_submodule("backbone")
    image = torch.randn(1, 3, 32, 64)
    expected = features(image)
    fold_norms(network)
    assert not [name for name, module in network.named_modules() if isinstance(module, NORMS)]
    for found, exact in zip(features(image), expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max()))
