import pytest
import torch

from qdtrack_model.training.qdtrack.assignment import NEGATIVE, NEITHER
from qdtrack_model.training.qdtrack.sampling import SamplingRule, choose_balanced, sample


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assigned(*counts: int, negative: int, neither: int = 0) -> torch.Tensor:
    """``counts[i]`` boxes of object i, then negatives, then those that are neither."""
    rows = [torch.full((count,), i) for i, count in enumerate(counts)]
    return torch.cat([*rows, torch.full((negative,), NEGATIVE), torch.full((neither,), NEITHER)])


@pytest.mark.parametrize(
    ("table", "rule", "positives", "negatives"),
    [
        (assigned(100, negative=900), SamplingRule(256, 0.5), 100, 156),
        (assigned(300, negative=900), SamplingRule(256, 0.5), 128, 128),
        (assigned(300, negative=20), SamplingRule(256, 0.5), 128, 20),
        (assigned(300, negative=900), SamplingRule(512, 0.25), 128, 384),
        (assigned(10, negative=900), SamplingRule(256, 0.5, negatives_per_positive=3), 10, 30),
        (assigned(negative=900), SamplingRule(256, 0.5, negatives_per_positive=3), 0, 3),
        (assigned(negative=900), SamplingRule(256, 0.5), 0, 256),
        (assigned(negative=0, neither=50), SamplingRule(256, 0.5, 3, True, True), 0, 0),
        (assigned(negative=0), SamplingRule(256, 0.5, 3, True, True), 0, 0),
    ],
)
def test_numbers(table: torch.Tensor, rule: SamplingRule, positives: int, negatives: int) -> None:
    chosen, others = sample(table, torch.zeros(len(table)), rule, generator())
    assert (len(chosen), len(others)) == (positives, negatives)
    assert (table[chosen] >= 0).all()
    assert (table[others] == NEGATIVE).all()
    together = torch.cat([chosen, others])
    assert len(together.unique()) == len(together)


def test_all_are_drawn_in_the_end_and_a_seed_repeats_itself() -> None:
    table, overlap = assigned(20, negative=20), torch.zeros(40)
    seen: set[int] = set()
    for seed in range(40):
        first = torch.cat(sample(table, overlap, SamplingRule(8, 0.5), generator(seed)))
        assert first.tolist() == torch.cat(sample(table, overlap, SamplingRule(8, 0.5), generator(seed))).tolist()
        seen |= set(first.tolist())
    assert seen == set(range(40))


def test_every_object_gets_its_share() -> None:
    table = assigned(200, 40, 3, negative=10)
    rule = SamplingRule(128, 0.5, balance_positives=True)
    chosen, _ = sample(table, torch.zeros(len(table)), rule, generator())
    counts = torch.bincount(table[chosen], minlength=3).tolist()
    assert sum(counts) == 64
    assert counts[2] == 3, "an object with few boxes gives them all"
    assert counts[1] >= 20, "a third each, and what the third object lacks is filled at random"
    plain, _ = sample(table, torch.zeros(len(table)), SamplingRule(128, 0.5), generator())
    assert torch.bincount(table[plain], minlength=3)[1] < 20


def test_more_objects_than_room() -> None:
    table = assigned(*[2] * 50, negative=0)
    chosen, _ = sample(table, torch.zeros(100), SamplingRule(40, 0.5, balance_positives=True), generator())
    assert len(chosen) == len(chosen.unique()) == 20


def test_negatives_come_from_all_degrees_of_overlap() -> None:
    overlap = torch.cat([torch.full((970,), 0.01), torch.full((20,), 0.25), torch.full((10,), 0.42)])
    table = assigned(negative=1000)
    rule = SamplingRule(60, 0.5, balance_negatives=True)
    _, chosen = sample(table, overlap, rule, generator())
    values = overlap[chosen]
    assert len(chosen) == 60
    assert [int((values == v).sum()) for v in torch.tensor([0.01, 0.25, 0.42])] == [30, 20, 10]
    _, touching_nothing = sample(table, torch.zeros(1000), rule, generator())
    assert len(touching_nothing) == 60


def test_balanced_choice_prefers_nobody_twice() -> None:
    candidates = torch.arange(100, 130)
    groups = torch.arange(30) % 3
    chosen = choose_balanced(candidates, groups, 4, 12, generator())
    assert torch.bincount(groups[chosen - 100]).tolist() == [4, 4, 4]
