import pytest
import torch

from qdtrack_model.training.qdtrack.assignment import NEGATIVE, NEITHER, AssignmentRule, assign

ANCHORS = AssignmentRule(positive=0.7, negative=0.3, minimum=0.3, low_quality=True)
REGIONS = AssignmentRule(positive=0.5, negative=0.5)
NOTHING = torch.zeros(0, 4)


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def iou(a: list[float], b: list[float]) -> float:
    width, height = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    area_a, area_b = ((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return width * height / (area_a + area_b - width * height)


def slow(candidates: torch.Tensor, truth: torch.Tensor, ignored: torch.Tensor, rule: AssignmentRule) -> list[int]:
    """The definition, box by box, in plain Python."""
    table = [[iou(box, goal) for goal in truth.tolist()] for box in candidates.tolist()]
    result = []
    for box, row in zip(candidates.tolist(), table, strict=True):
        best = max(row, default=0.0)
        if best >= rule.positive:
            result.append(row.index(best))
        elif best >= rule.negative:
            result.append(NEITHER)
        else:
            result.append(NEGATIVE)
        for region in ignored.tolist():
            width, height = (max(0.0, min(box[i + 2], region[i + 2]) - max(box[i], region[i])) for i in (0, 1))
            inside = width * height / ((box[2] - box[0]) * (box[3] - box[1]))
            if result[-1] == NEGATIVE and (inside > 0.5 or iou(box, region) >= rule.negative):
                result[-1] = NEITHER
    if rule.low_quality:
        for goal in range(len(truth)):
            most = max(row[goal] for row in table)
            for i, row in enumerate(table):
                if most > 0 and most >= rule.minimum and row[goal] == most:
                    result[i] = goal
    return result


@pytest.mark.parametrize("rule", [ANCHORS, REGIONS, AssignmentRule(0.7, 0.3)])
@pytest.mark.parametrize("seed", range(4))
def test_it_equals_the_definition(rule: AssignmentRule, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 24, (60, 2), generator=generator) * 4.0
    sizes = torch.randint(2, 10, (60, 2), generator=generator) * 4.0
    everything = torch.cat([corners, corners + sizes], dim=1)
    candidates, truth, ignored = everything[:50], everything[45:55] + 2, everything[55:]
    assigned, best = assign(candidates, truth, ignored, rule)
    assert assigned.tolist() == slow(candidates, truth, ignored, rule)
    expected = [max(iou(box, goal) for goal in truth.tolist()) for box in candidates.tolist()]
    torch.testing.assert_close(best, torch.tensor(expected))
    assert {NEGATIVE, NEITHER} <= set(assigned.tolist())


def test_bounds_belong_to_the_better_side() -> None:
    goal = boxes((0, 0, 10, 10))
    candidates = boxes((0, 0, 10, 7), (0, 0, 10, 6.9), (0, 0, 10, 3), (0, 0, 10, 2.9))  # IoU .7, .69, .3, .29
    assigned, _ = assign(candidates, goal, NOTHING, AssignmentRule(0.7, 0.3))
    assert assigned.tolist() == [0, NEITHER, NEITHER, NEGATIVE]


def test_a_hard_object_gets_its_best_anchors_only_from_the_minimum_on() -> None:
    goal = boxes((0, 0, 10, 10))
    twins = boxes((0, 0, 10, 4), (0, 6, 10, 10), (0, 0, 10, 3.5), (50, 50, 60, 60))
    assert assign(twins, goal, NOTHING, ANCHORS)[0].tolist() == [0, 0, NEITHER, NEGATIVE]
    weak = boxes((0, 0, 10, 2.5), (50, 50, 60, 60))
    assert assign(weak, goal, NOTHING, ANCHORS)[0].tolist() == [NEGATIVE, NEGATIVE]


def test_without_objects_everything_is_background() -> None:
    candidates = boxes((0, 0, 10, 10), (5, 5, 9, 9))
    assigned, best = assign(candidates, NOTHING, NOTHING, ANCHORS)
    assert assigned.tolist() == [NEGATIVE, NEGATIVE]
    assert best.tolist() == [0, 0]


def test_without_boxes_nothing_is_assigned() -> None:
    assigned, best = assign(NOTHING, boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10)), ANCHORS)
    assert assigned.shape == best.shape == (0,)


def test_in_ignored_regions_only_positives_count() -> None:
    candidates = boxes((0, 0, 10, 10), (20, 20, 30, 30), (0, 0, 40, 40), (36, 36, 50, 50))
    everywhere = boxes((0, 0, 40, 40))
    assert assign(candidates, NOTHING, everywhere, REGIONS)[0].tolist() == [NEITHER, NEITHER, NEITHER, NEGATIVE]
    goal = boxes((20, 20, 30, 30))
    assert assign(candidates, goal, everywhere, REGIONS)[0].tolist() == [NEITHER, 0, NEITHER, NEGATIVE]
