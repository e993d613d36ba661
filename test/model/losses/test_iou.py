import pytest
import torch

from qdtrack_model.losses import generalised_iou


@pytest.mark.parametrize(
    ("prediction", "target", "loss"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 0.0),
        ((0, 0, 2, 1), (0, 0, 1, 1), 0.5),  # half covered, the hull is the larger box
        ((0, 0, 1, 1), (3, 0, 4, 1), 1.5),  # apart: IoU 0, half of the hull is empty
    ],
)
def test_known_boxes(prediction: tuple[float, ...], target: tuple[float, ...], loss: float) -> None:
    value = generalised_iou(torch.tensor([prediction], dtype=torch.float), torch.tensor([target], dtype=torch.float))
    assert value.item() == pytest.approx(loss)


def test_gradient_is_right_and_pulls_distant_boxes() -> None:
    prediction = torch.tensor([[0.0, 0, 1, 1], [5, 5, 7, 8.5]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[3.0, 0.5, 4, 1.5], [5.5, 5, 8, 9]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda boxes: generalised_iou(boxes, target), prediction)
    generalised_iou(prediction, target).backward()
    assert prediction.grad is not None
    assert prediction.grad[0, 2] < 0  # the right edge wants to move right, towards the target


def test_no_boxes_cost_nothing() -> None:
    prediction = torch.zeros(0, 4, requires_grad=True)
    generalised_iou(prediction, torch.zeros(0, 4)).backward()
    assert prediction.grad is not None


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="two shapes"):
        generalised_iou(torch.zeros(2, 4), torch.zeros(3, 4))
