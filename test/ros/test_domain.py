"""Runs and workers side by side do not hear each other."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

import rclpy
from domain_coordinator import domain_id


def test_these_tests_are_in_their_domain_and_nobody_else_takes_it(domain: int) -> None:
    assert rclpy.get_default_context().get_domain_id() == domain
    with domain_id(itertools.count(domain).__next__) as other:
        assert other > domain
