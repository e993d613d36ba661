"""Workers: each item is done once, whoever dies; what ends it all is told."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.fleet.workers import FleetError, LostWorker, Workers, _Process, team

FRAGILE = '''
import os
import signal
from pathlib import Path

class Fragile:
    """Dies with the first 3 it is given, and with every 13."""

    def __init__(self, folder):
        self.died = Path(folder) / "died"

    def __call__(self, item):
        if item == 13 or (item == 3 and not self.died.exists()):
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item
'''


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes a function, in a module that workers can import."""
    (tmp_path / "fragile_work.py").write_text(FRAGILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return partial(importlib.import_module("fragile_work").Fragile, str(tmp_path))


def check(make: Callable[[], Any], workers: Workers) -> None:
    with team(make, workers) as apply:
        found = list(apply([1, 2, 3, 13, 4, 5]))
        assert sorted(place for place, _ in found) == list(range(6)), "each once"
        results = dict(found)
        assert results.pop(3) == LostWorker(3)
        assert results == {0: 1, 1: 4, 2: 9, 4: 16, 5: 25}
        assert dict(apply([7])) == {0: 49}, "the team goes on"


def test_processes_that_die_lose_nothing(fragile: Callable[[], Any]) -> None:
    check(fragile, Workers(2))


def test_a_process_that_dies_while_it_waits_is_told_as_lost() -> None:
    slot = _Process(partial(partial, int))
    assert slot.submit("12").result() == 12
    [process] = slot._pool._processes.values()
    process.kill()
    while not slot._pool._broken:
        time.sleep(0.01)
    assert isinstance(slot.submit("13").exception(), slot.lost)
    slot.renew()
    assert slot.submit("14").result() == 14
    slot.close()


@pytest.mark.slow
def test_ray_workers_that_die_lose_nothing(
    fragile: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[fleet]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        check(fragile, Workers(2, ray="auto"))
        monkeypatch.chdir(tmp_path)
        with team(partial(partial, os.path.abspath), Workers(4, ray="auto")) as apply:
            found = dict(apply([f"runs/{number}" for number in range(5)]))
        assert found == {number: str(tmp_path / f"runs/{number}") for number in range(5)}, "also those without room"
        with (
            pytest.raises(ValueError, match=r"^invalid literal"),
            team(partial(partial, int), Workers(1, "auto")) as apply,
        ):
            list(apply(["twelve"]))
        with pytest.raises(FleetError, match="no machine there has 64 cores"), team(fragile, Workers(1, "auto", 64)):
            pass
    finally:
        ray.shutdown()


def test_one_worker_is_this_process() -> None:
    made: list[int] = []

    def make() -> Callable[[int], int]:
        made.append(os.getpid())
        return lambda item: -item

    with team(make, Workers()) as apply:
        assert list(apply([1, 2])) == [(0, -1), (1, -2)]
        assert list(apply([3])) == [(0, -3)]
    assert made == [os.getpid()]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_ends_it(jobs: int) -> None:
    with pytest.raises(ValueError, match="invalid literal"), team(partial(partial, int), Workers(jobs)) as apply:
        list(apply(["12", "twelve"]))


ALONE = """
import time
from functools import partial
from qdtrack_model.fleet.workers import Workers, team

with team(partial(eval, "lambda item: __import__('os').getpid()"), Workers(2)) as apply:
    print(*{pid for _, pid in apply(range(20))}, flush=True)
    time.sleep(60)
"""


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_process_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert workers
        assert all(map(runs, workers))
        process.kill()
    end = time.monotonic() + 30
    while any(map(runs, workers)):
        assert time.monotonic() < end, "they outlive it"
        time.sleep(0.05)
