"""Networks: plain torch modules that train and export from the same code."""

from __future__ import annotations

from torch import nn

from qdtrack_model.config import ModelConfig, OneShotConfig
from qdtrack_model.networks.one_shot import OneShotNetwork
from qdtrack_model.networks.qdtrack import QDTrack

__all__ = ["OneShotNetwork", "QDTrack", "build"]


def build(config: ModelConfig) -> nn.Module:
    """The network that ``config`` describes, with fresh weights."""
    return OneShotNetwork(config) if isinstance(config, OneShotConfig) else QDTrack(config)
