"""Networks: plain torch modules that train and export from the same code."""

from __future__ import annotations

from torch import nn

from qdtrack_model.config import ModelConfig
from qdtrack_model.networks.one_shot import OneShotNetwork

__all__ = ["OneShotNetwork", "build"]


def build(config: ModelConfig) -> nn.Module:
    """The network that ``config`` describes, with fresh weights."""
    return OneShotNetwork(config)
