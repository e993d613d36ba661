"""Networks: plain torch modules that train and export from the same code."""

from __future__ import annotations

from torch import nn

from qdtrack_model.config import FairMotModelConfig, ModelConfig, OneShotConfig
from qdtrack_model.networks.fairmot import FairMotNetwork
from qdtrack_model.networks.one_shot import CentreNetwork, OneShotNetwork
from qdtrack_model.networks.qdtrack import QDTrack

__all__ = ["CentreNetwork", "FairMotNetwork", "OneShotNetwork", "QDTrack", "build"]


def build(config: ModelConfig) -> nn.Module:
    """The network that ``config`` describes, with fresh weights."""
    if isinstance(config, FairMotModelConfig):
        return FairMotNetwork(config)
    return OneShotNetwork(config) if isinstance(config, OneShotConfig) else QDTrack(config)
