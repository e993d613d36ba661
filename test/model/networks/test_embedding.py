"""What of the embedding head is exported in another way than it is trained."""

from __future__ import annotations

import pytest
import torch

from qdtrack_model.networks.embedding import EmbeddingHead


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@torch.no_grad()
def test_the_exported_group_norm_is_the_trained_one(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    norm = EmbeddingHead(64, 8, 4, sampling=2).convs.get_submodule("0.gn").to(dtype)
    norm.get_parameter("weight").normal_()
    norm.get_parameter("bias").normal_()
    x = (3 + 5 * torch.randn(6, 64, 7, 7)).to(dtype)
    exported = torch.export.export(norm, (x,))
    assert not [node for node in exported.graph.nodes if "group_norm" in str(node.target)]
    torch.testing.assert_close(exported.module()(x), norm(x), rtol=tolerance, atol=tolerance)
