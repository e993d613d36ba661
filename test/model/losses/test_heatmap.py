"""The heatmap loss against public numbers and at its edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model.losses import focal_heatmap

REFERENCE = Path(__file__).parents[2] / "reference" / "one_shot.npz"


def test_value_and_gradient_are_the_public_ones():
    with np.load(REFERENCE) as stored:
        probabilities, target, value, gradient = (stored[f"focal{part}"] for part in ("_pred", "_target", "", "_grad"))
    logits = torch.logit(torch.from_numpy(probabilities)).requires_grad_()
    loss = focal_heatmap(logits, torch.from_numpy(target))
    loss.backward()
    assert loss.item() == pytest.approx(value, rel=1e-12)
    # The stored gradient is that of the probabilities.
    np.testing.assert_allclose(
        logits.grad.numpy(), gradient * probabilities * (1 - probabilities), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0])
def test_gradient_agrees_with_differences(fill):
    logits = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    target = torch.full((2, 3, 4), fill, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: focal_heatmap(x, target), (logits,))


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_extreme_logits_stay_finite(logit, dtype):
    logits = torch.full((1, 1, 8, 8), logit, dtype=dtype, requires_grad=True)
    target = torch.zeros(1, 1, 8, 8)
    target[..., 3, 4] = 1
    loss = focal_heatmap(logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_without_centres_the_background_still_learns():
    logits = torch.zeros(1, 1, 2, 2)
    assert focal_heatmap(logits, torch.zeros_like(logits)).item() == pytest.approx(4 * 0.25 * np.log(2), rel=1e-6)


def test_cells_near_a_centre_cost_less():
    near, far = (focal_heatmap(torch.zeros(1), torch.tensor([y])).item() for y in (0.9, 0.0))
    assert near == pytest.approx(far * 0.1**4, rel=1e-4)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="expected one shape"):
        focal_heatmap(torch.zeros(2, 3), torch.zeros(3, 2))
