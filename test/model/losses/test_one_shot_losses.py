"""The losses of one-shot trackers against the numbers of their public code, and where losses tend to break."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qdtrack_model.losses import (
    balance,
    centre_l1,
    embedding_scale,
    focal_heatmap,
    identity_classification,
    pairwise_ranking,
    triplet,
    within_frame_contrastive,
)

REFERENCE = Path(__file__).parents[2] / "reference"
EXACT = {"rtol": 1e-9, "atol": 1e-12}
PAIRWISE = {"euclidean": 10.0, "cosine": 0.5}  # metric -> published margin
Loss = Callable[..., Tensor]


class Case(Mapping[str, Tensor]):
    """The tensors of one case, by name; what a loss reads of a map at the centres of the objects."""

    def __init__(self, number: int) -> None:
        with np.load(REFERENCE / "one_shot_losses.npz") as stored:
            prefix = f"{number}_"
            self._arrays = {k.removeprefix(prefix): stored[k] for k in stored.files if k.startswith(prefix)}

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(np.array(self._arrays[key]))

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def used(self) -> Tensor:
        return self["mask"].bool()  # (B, K)

    @property
    def images(self) -> Tensor:
        """(N,) the image of each object."""
        return self.used.nonzero()[:, 0]

    def read(self, values: Tensor, index: str = "index") -> Tensor:
        """A map (B, C, H, W) at the objects, (N, C)."""
        flat = values.flatten(2).transpose(1, 2)
        return flat[self.images, self[index][self.used]]


@pytest.fixture(params=range(3))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def compare(value: Tensor, expected: Tensor, gradients: list[tuple[Tensor, Tensor]]) -> None:
    """Hold a loss and its gradients with respect to some leaves against stored ones."""
    np.testing.assert_allclose(value.detach().numpy(), expected.numpy(), **EXACT)
    found = torch.autograd.grad(value, [leaf for leaf, _ in gradients], allow_unused=True)
    for gradient, (leaf, wanted) in zip(found, gradients, strict=True):
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        np.testing.assert_allclose(gradient.numpy(), wanted.numpy(), **EXACT)


def leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()


def test_identity_classification_is_the_public_one(case: Case) -> None:
    values, weight, bias = (leaf(case[name]) for name in ("map", "classifier_weight", "classifier_bias"))
    scale = float(case["scale"])
    assert scale == pytest.approx(embedding_scale(int(case["nid"])), rel=1e-15)
    loss = identity_classification(case.read(values), case["ids"][case.used], weight, bias, scale)
    gradients = [(values, case["identity_grad_map"]), (weight, case["identity_grad_weight"])]
    compare(loss, case["identity"], [*gradients, (bias, case["identity_grad_bias"])])


@pytest.mark.parametrize(("name", "target"), [("size", "wh"), ("ltrb", "ltrb"), ("offset", "offset")])
def test_l1_at_centres_is_the_public_one(case: Case, name: str, target: str) -> None:
    loss = centre_l1(case.read(case[f"{name}_map"]), case[target][case.used])
    np.testing.assert_allclose(loss.item(), case[f"{name}_loss"].item(), **EXACT)


def detection(case: Case, logits: Tensor, sides: Tensor, offset: Tensor, target: str) -> Tensor:
    boxes = centre_l1(case.read(sides), case[target][case.used])
    return focal_heatmap(logits, case["heat"]) + 0.1 * boxes + centre_l1(case.read(offset), case["offset"][case.used])


def test_learned_balance_is_the_public_one(case: Case) -> None:
    names = ("map", "heat_logits", "ltrb_map", "offset_map", "s_det", "s_id")
    leaves = {name: leaf(case[name]) for name in names}
    identity = identity_classification(
        case.read(leaves["map"]), case["ids"][case.used], case["classifier_weight"], case["classifier_bias"],
        float(case["scale"]),
    )  # fmt: skip
    detector = detection(case, leaves["heat_logits"], leaves["ltrb_map"], leaves["offset_map"], "ltrb")
    loss = balance(detector, identity, leaves["s_det"], leaves["s_id"])
    wanted = [case[f"total_identity_grad_{name.removesuffix('_map')}"] for name in names[1:]]
    pairs = list(zip(list(leaves.values())[1:], wanted, strict=True))
    compare(loss, case["total_identity"], [(leaves["map"], case["total_identity_grad_map"]), *pairs])


def test_fixed_balance_is_the_formula_with_the_start_values() -> None:
    case = Case(0)
    first, second = torch.tensor(2.0, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64)
    assert balance(first, second).item() == balance(first, second, case["s_det"], case["s_id"]).item()


@pytest.mark.parametrize("metric", PAIRWISE)
@pytest.mark.parametrize("positives", [True, False])
def test_pairwise_ranking_is_the_public_one(case: Case, metric: str, positives: bool) -> None:
    values = leaf(case["map"])
    beside = case.read(values, "positive_index") if positives else None
    settings = {"margin": PAIRWISE[metric], "metric": metric, "scale": float(case["scale"])}
    loss = pairwise_ranking(case.read(values), case.images, beside, **settings)
    name = f"pair_{metric}" + ("" if positives else "_negatives")
    compare(loss, case[name], [(values, case[f"{name}_grad_map"])])


@pytest.mark.parametrize("metric", PAIRWISE)
def test_balance_of_pairwise_ranking_is_the_public_one(case: Case, metric: str) -> None:
    first, second = leaf(case["s_det"]), leaf(case["s_id"])
    detector = detection(case, case["heat_logits"], case["size_map"], case["offset_map"], "wh")
    loss = balance(detector, case[f"pair_{metric}"], first, second)
    gradients = [(first, case[f"total_{metric}_grad_s_det"]), (second, case[f"total_{metric}_grad_s_id"])]
    compare(loss, case[f"total_{metric}"], gradients)


VIEWS = {
    "nt_xent": within_frame_contrastive,
    "triplet_all": triplet,
    "triplet_all_raw": partial(triplet, normalised=False),
    "triplet_hard": partial(triplet, mining="hard"),
    "triplet_hard_raw": partial(triplet, mining="hard", normalised=False),
}


@pytest.mark.parametrize("name", VIEWS)
def test_losses_of_two_views_are_the_public_ones(case: Case, name: str) -> None:
    embeddings = leaf(case["view_embeddings"])
    loss = VIEWS[name](embeddings, case["view_labels"], case["view_image"])
    compare(loss, case[name], [(embeddings, case[f"{name}_grad"])])


def test_contrastive_loss_within_a_frame_is_the_public_one() -> None:
    with np.load(REFERENCE / "one_shot.npz") as stored:
        embeddings, labels, images = (torch.from_numpy(stored[f"nt_{k}"]) for k in ("embeddings", "labels", "image"))
        temperature, expected, gradient = (stored[f"nt_{k}"] for k in ("temperature", "loss", "grad"))
    embeddings = leaf(embeddings)
    loss = within_frame_contrastive(embeddings, labels, images, float(temperature))
    compare(loss, torch.from_numpy(np.array(expected)), [(embeddings, torch.from_numpy(gradient))])


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


# Each takes embeddings (N, D) of the N objects of one image, or of both views of N / 2.
OBJECTS: dict[str, Loss] = {
    "identity": lambda e: identity_classification(e, torch.arange(len(e)) % 5, drawn(5, e.shape[1]).to(e), scale=3.0),
    "unlabelled": lambda e: identity_classification(e, torch.full((len(e),), -1), drawn(5, e.shape[1]).to(e)),
    "l1": lambda e: centre_l1(e, torch.ones_like(e)),
    "balance": lambda e: balance(e.square().sum(), e.sum(), e.sum(), 0.5),
    "euclidean": lambda e: pairwise_ranking(e, torch.zeros(len(e)), e.flip(1), margin=10, scale=9.0),
    "cosine": lambda e: pairwise_ranking(e, torch.zeros(len(e)), e.flip(1), margin=0.5, metric="cosine"),
    "negatives": lambda e: pairwise_ranking(e, torch.zeros(len(e)), margin=10, scale=9.0),
    "contrastive": lambda e: within_frame_contrastive(e, torch.arange(len(e)) // 2, torch.zeros(len(e))),
    "triplet all": lambda e: triplet(e, torch.arange(len(e)) // 2, torch.zeros(len(e))),
    "triplet hard": lambda e: triplet(e, torch.arange(len(e)) // 2, torch.zeros(len(e)), mining="hard"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_gradients_agree_with_differences(name: str) -> None:
    assert torch.autograd.gradcheck(OBJECTS[name], leaf(drawn(8, 5)))


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_objects_or_none_give_no_nan(name: str, count: int, dtype: torch.dtype) -> None:
    embeddings = leaf(drawn(2, 4)[:count].to(dtype))
    loss = OBJECTS[name](embeddings)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_equal_and_zero_embeddings_give_no_nan(name: str, value: float) -> None:
    embeddings = leaf(torch.full((6, 4), value))
    loss = OBJECTS[name](embeddings * 1e-3 if name == "balance" else embeddings)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()


def test_a_positive_at_the_centre_itself_costs_nothing_and_moves_nothing() -> None:
    anchors = leaf(drawn(1, 4))
    loss = pairwise_ranking(anchors, torch.zeros(1), anchors, margin=10, scale=9.0)
    loss.backward()
    assert loss.item() == 0
    assert not anchors.grad.any()


def test_other_images_are_no_negatives() -> None:
    embeddings, labels = torch.eye(4)[[0, 1, 0, 1]], torch.tensor([0, 1, 0, 1])
    apart, together = torch.arange(4) % 2, torch.zeros(4)
    assert within_frame_contrastive(embeddings, labels, apart).item() == 0
    assert within_frame_contrastive(embeddings, labels, together).item() > 0
    assert pairwise_ranking(embeddings, torch.arange(4), margin=2.0).item() == 0
    assert triplet(embeddings, labels, apart, margin=2.0).item() == 0
    assert triplet(embeddings, labels, together, margin=2.0).item() > 0


def test_the_scale_is_known_without_identities() -> None:
    assert embedding_scale(None) == pytest.approx(8.916, abs=1e-3)
    assert [embedding_scale(n) for n in (0, 1, 2, 3)] == [1.0] * 4


NOTHING, THREE = torch.zeros(0), torch.zeros(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: identity_classification(torch.eye(3), torch.tensor([0, 1, 7]), torch.eye(3)), "ids: got 7"),
        (lambda: identity_classification(torch.eye(3), torch.arange(2), torch.eye(3)), "ids: expected shape"),
        (lambda: identity_classification(torch.eye(3), torch.arange(3), torch.eye(2)), "embeddings, weight"),
        (lambda: centre_l1(torch.zeros(2, 3), torch.zeros(2, 4)), "expected two shapes"),
        (lambda: pairwise_ranking(torch.eye(3), THREE, margin=0.0), "margin: got 0.0, expected a positive number"),
        (lambda: pairwise_ranking(torch.eye(3), THREE, margin=float("nan")), "margin: got nan"),
        (lambda: pairwise_ranking(torch.eye(3), THREE, margin=1.0, scale=0.0), "scale: got 0.0"),
        (lambda: pairwise_ranking(torch.eye(3), THREE, margin=1.0, metric="manhattan"), "metric: got 'manhattan'"),
        (lambda: pairwise_ranking(torch.eye(3), NOTHING, margin=1.0), "anchors, images"),
        (lambda: pairwise_ranking(torch.eye(3), THREE, torch.eye(2), margin=1.0), "positives: expected shape"),
        (lambda: triplet(torch.eye(3), THREE, THREE, margin=-1.0), "margin: got -1.0"),
        (lambda: triplet(torch.eye(3), THREE, THREE, mining="semi"), "mining: got 'semi', expected all or hard"),
        (lambda: triplet(torch.eye(3), NOTHING, THREE), "labels: expected shape"),
        (lambda: within_frame_contrastive(torch.eye(3), THREE, THREE, 0.0), "temperature: got 0.0"),
        (lambda: within_frame_contrastive(torch.eye(3), THREE, NOTHING), "images: expected shape"),
        (lambda: within_frame_contrastive(THREE, THREE, THREE), "embeddings: expected shape"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
