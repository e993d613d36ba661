"""Batch norms as part of the convolutions before them: less to compute, and rounded once in half precision."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from qdtrack_model.networks.resnet import BatchNorm


def fold_norms(network: nn.Module) -> None:
    """Fold every batch norm of ``network`` into the convolution registered before it, which it follows.

    The network computes the same from then on, for inference alone.
    """
    for parent in list(network.modules()):
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNorm | nn.BatchNorm2d):
                assert norm.running_mean is not None and norm.running_var is not None
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                setattr(parent, name, nn.Identity())
