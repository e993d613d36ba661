"""The embedding losses against public numbers and on the sets where they tend to break."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qdtrack_model.losses import auxiliary_cosine, multi_positive_contrastive

REFERENCE = Path(__file__).parents[2] / "reference" / "embedding_losses.npz"
LOSSES = [multi_positive_contrastive, auxiliary_cosine]


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize(
    ("name", "loss", "weight"),
    [("contrastive", multi_positive_contrastive, 0.25), ("auxiliary", auxiliary_cosine, 1.0)],
)
def test_value_and_gradients_are_the_public_ones(case, name, loss, weight):
    with np.load(REFERENCE) as stored:
        key, ref, target = (torch.from_numpy(stored[f"{case}_{part}"]) for part in ("key", "ref", "target"))
        expected = [stored[f"{case}_{name}{part}"] for part in ("", "_grad_key", "_grad_ref")]
    key.requires_grad_()
    ref.requires_grad_()
    value = weight * loss(key, ref, target)
    value.backward()
    for got, wanted in zip((value.detach(), key.grad, ref.grad), expected, strict=True):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-9, atol=1e-12)


def pairs(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    key = torch.randn(4, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    ref = torch.randn(6, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.rand(4, 6, generator=generator) < 0.3
    target[0], target[1] = False, True  # a row of negatives only, one of positives only
    if kind == "all positive":
        target = torch.ones_like(target)
    if kind == "all negative":
        target = torch.zeros_like(target)
    return key, ref, target


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mixed", "all positive", "all negative"])
def test_gradients_agree_with_differences(loss, kind):
    key, ref, target = pairs(kind)
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b, target), (key, ref))


@pytest.mark.parametrize("loss", LOSSES)
def test_without_a_positive_the_loss_and_its_gradient_are_zero(loss):
    key, ref, target = pairs("all negative")
    value = loss(key, ref, target)
    value.backward()
    assert value.item() == 0
    assert not key.grad.any()
    assert not ref.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("keys", "refs"), [(0, 3), (3, 0), (0, 0)])
def test_empty_sets_give_a_zero_that_can_be_differentiated(loss, keys, refs):
    key, ref = torch.zeros(keys, 4, requires_grad=True), torch.zeros(refs, 4, requires_grad=True)
    value = loss(key, ref, torch.zeros(keys, refs))
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(key.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [0.0, 1e-4, 300.0])
def test_extreme_sizes_stay_finite(loss, scale):
    key = (torch.randn(8, 16, generator=torch.Generator().manual_seed(1)) * scale).requires_grad_()
    value = loss(key, key.detach().flip(1), torch.eye(8))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(key.grad).all()


def test_only_rows_with_a_positive_count_in_the_mean():
    key = torch.eye(3)
    target = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    # each of the two rows: log(1 + 2 e^(0 - 1))
    assert multi_positive_contrastive(key, key, target).item() == pytest.approx(np.log(1 + 2 * np.exp(-1)), rel=1e-6)


def test_only_the_hardest_negatives_are_kept():
    key = torch.tensor([[1.0, 0.0]])
    ref = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    target = torch.tensor([[1, 0, 0, 0]])
    hard, harder = (0.8 - 0.1) ** 2, (1 - 0.1) ** 2
    assert auxiliary_cosine(key, ref, target, negatives_per_positive=1).item() == pytest.approx(harder / 2)
    assert auxiliary_cosine(key, ref, target, negatives_per_positive=2).item() == pytest.approx((harder + hard) / 3)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("key", "ref", "target"), [((2, 3), (4, 5), (2, 4)), ((2, 3), (4, 3), (4, 2)), ((2,), (2,), (2,))]
)
def test_shapes_that_do_not_belong_together_are_refused(loss, key, ref, target):
    with pytest.raises(ValueError, match="expected shape"):
        loss(torch.zeros(key), torch.zeros(ref), torch.zeros(target))
