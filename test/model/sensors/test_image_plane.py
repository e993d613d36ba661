"""A pixel's point in space is seen at that pixel again, by whoever looks through P."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdtrack_model.sensors.image_plane import ImagePlane

FOCAL = st.floats(50, 5000)
ANY = st.floats(-3000, 3000)


def projection(fx: float, fy: float, cx: float, cy: float, tx: float = 0.0, ty: float = 0.0) -> np.ndarray:
    return np.array([[fx, 0, cx, tx], [0, fy, cy, ty], [0, 0, 1, 0]], float)


@given(fx=FOCAL, fy=FOCAL, cx=ANY, cy=ANY, tx=ANY, u=ANY, v=ANY, depth=st.floats(0.1, 50))
def test_projection_leads_back(
    fx: float, fy: float, cx: float, cy: float, tx: float, u: float, v: float, depth: float
) -> None:
    plane = ImagePlane(projection(fx, fy, cx, cy, tx), depth=depth)
    (point,) = plane.points(np.array([[u, v]]))
    assert point[2] == depth
    x, y, w = plane.projection @ [*point, 1.0]
    np.testing.assert_allclose([x / w, y / w], [u, v], atol=1e-6)


def test_the_principal_point_lies_straight_ahead() -> None:
    assert ImagePlane(projection(500, 400, 320, 180), depth=2.0).points(np.array([[320, 180]])).tolist() == [[0, 0, 2]]


def test_a_part_of_the_image_with_binned_pixels() -> None:
    whole = ImagePlane(projection(500, 400, 320, 180))
    part = ImagePlane(projection(500, 400, 320, 180), offset=(100, 60), scale=(2, 4))
    np.testing.assert_allclose(part.points(np.array([[10, 5]])), whole.points(np.array([[120, 80]])))


def test_lengths_are_those_between_points() -> None:
    plane = ImagePlane(projection(500, 400, 320, 180), scale=(2, 4), depth=3.0)
    above, below = plane.points(np.array([[7, 10], [7, 30]]))
    assert plane.length(20) == pytest.approx(below[1] - above[1])


@pytest.mark.parametrize("focal", [0.0, -500.0, np.nan])
def test_a_camera_that_is_not_calibrated_is_refused(focal: float) -> None:
    with pytest.raises(ValueError, match="expected those of a calibrated camera"):
        ImagePlane(projection(focal, 400, 320, 180))
