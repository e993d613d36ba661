"""Where the time of a call goes, by torch's profiler."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

LISTED = 12  # the costliest; the others are summed up
LONGEST = 70  # letters of a name


def costs_of(call: Callable[[], object], calls: int = 5) -> list[dict[str, Any]]:
    """What one call spends its time on, costliest first: ``name``, ``ms`` and ``share`` of the call.

    On a GPU these are all kernels and copies of the process, whoever launched them; elsewhere torch's operations, and
    nothing for runtimes without torch. The last is what the profiler does not see: on a GPU waiting and gaps between
    kernels. Profiling itself takes some of the time.
    """
    cuda = torch.cuda.is_available()
    activity, key = (
        (ProfilerActivity.CUDA, "self_device_time_total") if cuda else (ProfilerActivity.CPU, "self_cpu_time_total")
    )
    with profile(activities=[activity]):
        call()  # starting the profiler takes its time, too
    with profile(activities=[activity]) as profiler:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        whole = 1e3 * (time.perf_counter() - start) / calls
    spent = {event.key: getattr(event, key) / 1e3 / calls for event in profiler.key_averages()}
    rows = sorted(((name[:LONGEST], ms) for name, ms in spent.items() if ms > 0), key=lambda row: -row[1])
    if not rows:
        return []
    rest = [("others", sum(ms for _, ms in rows[LISTED:])), ("not seen", max(0.0, whole - sum(spent.values())))]
    return [{"name": name, "ms": ms, "share": ms / whole} for name, ms in rows[:LISTED] + rest]
