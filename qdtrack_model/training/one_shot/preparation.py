"""What a one-shot network is before it learns: parts frozen, started anew, and joined by what only the losses need."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from qdtrack_model.losses.balance import DETECTION_LOG_VARIANCE, IDENTITY_LOG_VARIANCE
from qdtrack_model.networks.resnet import BatchNorm
from qdtrack_model.training.config import OneShotTraining

EMBEDDING_HEADS = ("embedding_hidden", "embedding", "id")  # of the light network and of FairMOT's
PARTS = "loss_parts"  # the name under which a network carries what only its losses need
FRESH = 1e-3  # deviation of weights that start anew
# Of norms that start anew, as published. Weights so small give variances far below the 1 that a norm starts with, which
# the light network's own .03 would remember for hundreds of steps.
MOMENTUM = 0.1


class LossParts(nn.Module):
    """What is learned along with a network and left out of its weights.

    Args:
        size: length of the embeddings.
        classes: of the classifier; 0: none.
        projection: embeddings are compared behind two more layers, the second half as wide.
    """

    def __init__(self, size: int, classes: int, projection: bool) -> None:
        super().__init__()
        self.classifier = nn.Linear(size, classes) if classes else None
        self.projection = (
            nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, max(1, size // 2))) if projection else None
        )
        self.detection_log_variance = nn.Parameter(torch.tensor(DETECTION_LOG_VARIANCE))
        self.identity_log_variance = nn.Parameter(torch.tensor(IDENTITY_LOG_VARIANCE))

    def projected(self, embeddings: Tensor) -> Tensor:
        """Embeddings (N, D) as the losses of views see them."""
        return embeddings if self.projection is None else self.projection(embeddings)


def prepare(network: nn.Module, config: OneShotTraining, classes: int) -> None:
    """Freeze what the recipe does not train, start the rest anew where it says so, and add the parts of the losses.

    What is frozen keeps its weights and its statistics: it works as in inference from here on.
    """
    for name, part in network.named_children():
        frozen = name == "backbone" if config.frozen == "backbone" else name not in EMBEDDING_HEADS
        if config.frozen != "none" and frozen:
            part.eval().requires_grad_(False)
            last = getattr(part, "last_layer", None)  # HRNet's way into the heads belongs to them
            if last is not None and config.frozen == "backbone":
                last.train().requires_grad_(True)
    if config.reinitialise:
        _start_anew(network)
    size = config.model.embedding_size
    parts = LossParts(size, classes, config.projection).to(next(network.parameters()).device)
    if config.balance == "fixed":
        parts.detection_log_variance.requires_grad_(False)
        parts.identity_log_variance.requires_grad_(False)
    if config.balance == "weights":
        del parts.detection_log_variance, parts.identity_log_variance
    network.add_module(PARTS, parts)


def _start_anew(network: nn.Module) -> None:
    for module in network.modules():
        learned = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if learned and isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=FRESH)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif learned and isinstance(module, BatchNorm | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.zero_()
            module.running_var.fill_(1.0)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM


def finished(network: nn.Module) -> nn.Module:
    """The network without what only its losses needed; it shares its weights with the one given."""
    bare = copy.copy(network)
    bare._modules = {name: part for name, part in network._modules.items() if name != PARTS}
    return bare
