"""The parameter files per use: complete, valid, and different from the defaults only where their use asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from qdtrack_ros.specifications import SPECIFICATIONS

CONFIG = Path(__file__).parents[2] / "config" / "node"
DEFAULTS = {one.name: one.default for one in SPECIFICATIONS.values() if one.default is not None}


@pytest.mark.parametrize(
    ("name", "differences"),
    [
        ("multi_camera", {"cameras": ["front", "left"]}),
        ("replay", {"queue_size": 64}),
    ],
)
def test_a_file_is_complete_and_differs_from_the_defaults_only_so(name: str, differences: dict[str, Any]) -> None:
    held = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["/**"]["ros__parameters"]
    assert held == DEFAULTS | differences
    assert [one.problem(held[one.name]) for one in SPECIFICATIONS.values() if one.name in held] == [None] * len(held)
