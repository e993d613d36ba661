"""What is remembered of a camera's images: the newest samples, and rates over the last seconds."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from qdtrack_ros.operation.monitor import PROCESSING, STAGES, Monitor, Recent, Samples


def test_samples_hold_the_newest() -> None:
    samples = Samples(4)
    assert samples.percentiles(50) is None
    for value in (1.0, 2.0, 3.0):
        samples.add(value)
    assert np.array_equal(samples.percentiles(0, 50, 100), [1, 2, 3])
    for value in (10.0, 11.0, 12.0):
        samples.add(value)
    assert np.array_equal(samples.percentiles(0, 50, 100), [3, 10.5, 12])


def test_stages_and_ages_of_an_image() -> None:
    monitor = Monitor()
    monitor.add({name: float(number) for number, name in enumerate(STAGES)}, 0.25)
    monitor.add({name: float(number) for number, name in enumerate(STAGES)}, None)
    assert [monitor.stages[name].percentiles(50) for name in STAGES] == [0, 1, 2, 3, 4, 5]
    assert monitor.stages[PROCESSING].percentiles(50) == 1 + 2 + 3 + 4 + 5  # all but waiting
    assert monitor.ages.percentiles(0, 100).tolist() == [0.25, 0.25]


def test_rates_are_of_the_last_five_seconds() -> None:
    monitor = Monitor()
    counts = monitor.counts
    assert monitor.recent(0.0) is None  # no image yet: the time until the first one is nobody's rate
    counts.received, counts.tracked = 3, 3
    assert monitor.recent(1.0) is None
    for second in range(1, 8):
        counts.received += 10
        counts.tracked += 8
        counts.dropped += 2
        recent = monitor.recent(1.0 + second)
        assert recent == Recent(10.0, 8.0, 10 * min(second, 5), 0, 2 * min(second, 5), 0, 0, 0, 0)
    for second in range(8, 12):
        counts.unusable += 1
        recent = monitor.recent(1.0 + second)
    assert recent == Recent(2.0, 1.6, 10, 0, 2, 4, 0, 0, 0)
