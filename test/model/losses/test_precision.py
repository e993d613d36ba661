"""Losses within autocast: the value and the gradients of float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qdtrack_model.losses import (
    auxiliary_cosine,
    centre_l1,
    focal_heatmap,
    generalised_iou,
    identity_classification,
    multi_positive_contrastive,
    pairwise_ranking,
    triplet,
    within_frame_contrastive,
)

Case = tuple[Callable[..., Tensor], list[Tensor]]


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cases() -> dict[str, Case]:
    same = torch.eye(12).repeat(1, 2)
    corners = drawn(9, 4, seed=2).abs()
    boxes = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:] + 0.1], dim=1)
    labels, image = torch.arange(12).repeat(2), torch.zeros(24)
    return {
        "contrastive": (
            lambda a, b: multi_positive_contrastive(a, b, same),
            [drawn(12, 64, seed=0), drawn(24, 64, seed=1)],
        ),
        "auxiliary": (lambda a, b: auxiliary_cosine(a, b, same), [drawn(12, 64, seed=0), drawn(24, 64, seed=1)]),
        "identity": (
            lambda a, w: identity_classification(a, labels, w, scale=3.0),
            [drawn(24, 64, seed=0), drawn(12, 64, seed=1)],
        ),
        "sizes": (lambda a: centre_l1(a, boxes), [drawn(9, 4, seed=0)]),
        "pairwise": (
            lambda a, b: pairwise_ranking(a, image, b, margin=10.0, scale=9.0),
            [drawn(24, 64, seed=0), drawn(24, 64, seed=1)],
        ),
        "within a frame": (lambda a: within_frame_contrastive(a, labels, image), [drawn(24, 64, seed=0)]),
        "triplet": (lambda a: triplet(a, labels, image), [drawn(24, 64, seed=0)]),
        "heatmap": (lambda a: focal_heatmap(a, torch.eye(16)), [drawn(16, 16, seed=0)]),
        "overlap": (
            lambda a: generalised_iou(a, boxes),
            [boxes + 0.2 * drawn(9, 4, seed=3).abs()[:, [0, 0, 1, 1]].cumsum(1)],
        ),
    }


@pytest.mark.parametrize("name", cases())
def test_autocast_leaves_value_and_gradients_alone(name: str) -> None:
    loss, inputs = cases()[name]
    results = []
    for autocast in (False, True):
        leaves = [x.clone().requires_grad_() for x in inputs]
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            value = loss(*leaves)
        results.append([value, *torch.autograd.grad(value, leaves)])
    for expected, got in zip(*results, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_before_anything_is_computed(name: str, dtype: torch.dtype) -> None:
    loss, inputs = cases()[name]
    rounded = [x.to(dtype) for x in inputs]
    torch.testing.assert_close(loss(*rounded), loss(*(x.float() for x in rounded)), rtol=0, atol=0)


def test_arguments_may_be_named() -> None:
    key = drawn(2, 3, seed=0).bfloat16()
    assert auxiliary_cosine(key=key, ref=key, target=torch.eye(2)).dtype == torch.float32
