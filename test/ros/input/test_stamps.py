"""Header stamps as numbers."""

from __future__ import annotations

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from scenes import HEADER

from qdtrack_ros.input.stamps import stamp_nanoseconds, stamp_seconds


def test_stamps() -> None:
    assert stamp_nanoseconds(HEADER) == 1_700_000_000_123_456_789
    assert stamp_seconds(HEADER) == pytest.approx(1_700_000_000.123456789, abs=1e-6)
