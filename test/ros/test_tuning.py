"""Settings of the node's process: turns of its threads, and which GPU it sees."""

from __future__ import annotations

import os
import sys

import cv2
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from qdtrack_ros.tuning import choose_gpu, tune_process


def test_threads_take_short_turns() -> None:
    """By default one that draws keeps Python's lock for 5 ms, each time that tracking wants it back."""
    interval, threads = sys.getswitchinterval(), cv2.getNumThreads()
    try:
        tune_process()
        assert sys.getswitchinterval() < 0.001
    finally:
        sys.setswitchinterval(interval)
        cv2.setNumThreads(threads)


@pytest.mark.parametrize(
    ("index", "visible", "chosen"),
    [(-1, "", ""), (1, None, "1"), (0, "", "-1"), (1, "4,GPU-7", "GPU-7"), (2, "4,GPU-7", "-1"), (-1, "4,5", "4,5")],
)
def test_one_gpu_alone_is_seen(index: int, visible: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")  # restored afterwards
    if visible is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    choose_gpu(index)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == chosen
