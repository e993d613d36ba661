"""One function applied to many items: in this process, in processes of this machine, or on a Ray cluster.

A worker that dies loses no item and none is counted twice: what it was busy with is given to another one, and a result
counts when it has come back whole.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

ATTEMPTS = 3
Item = TypeVar("Item")
Result = TypeVar("Result")
Work: TypeAlias = Callable[[Item], Result]
Apply: TypeAlias = "Callable[[Sequence[Item]], Iterator[tuple[int, Result | LostWorker]]]"


class FleetError(ValueError):
    """Workers that cannot be had; the text says what to do."""


@dataclass(frozen=True)
class LostWorker:
    """In place of a result: every worker that was given this item died."""

    attempts: int

    def __str__(self) -> str:
        return f"{self.attempts} workers died with it: too little memory?"


@dataclass(frozen=True)
class Workers:
    """How many workers, and where.

    Args:
        jobs: how many; None: one in this process, or as many as a cluster has room for.
        ray: None for processes of this machine; else the address of a Ray cluster, ``auto`` for the one that this
            machine belongs to.
        cores: that each of them takes.
        apart: in processes of their own also where there is but one.
    """

    jobs: int | None = None
    ray: str | None = None
    cores: int = 1
    apart: bool = False

    @property
    def here(self) -> bool:
        """Whether this process does it all."""
        return self.ray is None and (self.jobs or 1) == 1 and not self.apart


@contextmanager
def team(make: Callable[[], Work[Item, Result]], workers: Workers) -> Iterator[Apply[Item, Result]]:
    """Give a function that applies what ``make`` makes to items and yields (place, result) as they are done.

    Args:
        make: called once by each worker; it, items and results are pickled unless this process does it all.
        workers: how many and where.

    Raises:
        FleetError: no such cluster, or Ray is not installed. What ``make`` or its function raise ends it all.
    """
    if workers.here:
        worker = _Worker(make)

        def alone(items: Sequence[Item]) -> Iterator[tuple[int, Result | LostWorker]]:
            for place, item in enumerate(items):
                yield place, worker.work(item)

        yield alone
        return
    with ExitStack() as stack:
        slots: list[_Slot] = (
            [_Process(make) for _ in range(workers.jobs or 1)] if workers.ray is None else _actors(make, workers)
        )
        for slot in slots:
            stack.callback(slot.close)
        yield lambda items: _apply(slots, items)


class _Slot(Protocol):
    """The place of a worker, which gets a new one where that dies."""

    lost: tuple[type[BaseException], ...]  # what tells that the worker died

    def ready(self) -> Future[Any]: ...  # done when the worker runs, or could not be started

    def submit(self, item: Any) -> Future[Any]: ...

    def renew(self) -> None: ...

    def close(self) -> None: ...


def _apply(slots: Sequence[_Slot], items: Sequence[Item]) -> Iterator[tuple[int, Any]]:
    waiting = deque((place, 1) for place in range(len(items)))
    coming = {slot.ready(): slot for slot in slots}  # those that a cluster has no room for never come
    free: list[_Slot] = []
    busy: dict[Future[Any], tuple[_Slot, int, int]] = {}
    while waiting or busy:
        while free and waiting:
            slot, (place, attempt) = free.pop(), waiting.popleft()
            busy[slot.submit(items[place])] = slot, place, attempt
        for future in wait([*busy, *coming], return_when=FIRST_COMPLETED).done:
            if future in coming:
                free.append(coming.pop(future))
                continue
            slot, place, attempt = busy.pop(future)
            error = future.exception()
            if error is None:
                free.append(slot)
                yield place, future.result()
            elif not isinstance(error, slot.lost):
                raise getattr(error, "cause", None) or error  # Ray wraps what a worker raised in its traceback
            else:
                slot.renew()
                coming[slot.ready()] = slot
                if attempt < ATTEMPTS:
                    waiting.append((place, attempt + 1))
                else:
                    yield place, LostWorker(attempt)


class _Worker(Generic[Item, Result]):
    """In the worker's process: makes the function with the first item.

    Args:
        make: see :func:`team`.
        folder: that paths start from, where this machine has it.
    """

    def __init__(self, make: Callable[[], Work[Item, Result]], folder: str | None = None) -> None:
        if folder is not None:
            with suppress(FileNotFoundError):
                os.chdir(folder)
        self._make = make
        self._made: list[Work[Item, Result]] = []

    def work(self, item: Item) -> Result:
        self._made = self._made or [self._make()]
        return self._made[0](item)


_worker: _Worker[Any, Any]


def _start(make: Callable[[], Work[Any, Any]]) -> None:
    global _worker
    _worker = _Worker(make)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A process that was killed cannot end its workers: they would write on where the next command begins."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(item: Any) -> Any:
    return _worker.work(item)


class _Process:
    """A pool of one process: the death of a process breaks its whole pool."""

    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, make: Callable[[], Work[Any, Any]]) -> None:
        self._make = make
        self.renew()

    def renew(self) -> None:
        # A new interpreter: threads of runtimes and locks of this one do not survive a fork.
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start, (self._make,))

    def ready(self) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(None)
        return done

    def submit(self, item: Any) -> Future[Any]:
        try:
            return self._pool.submit(_work, item)
        except BrokenProcessPool as error:  # it died while it had nothing to do
            lost: Future[Any] = Future()
            lost.set_exception(error)
            return lost

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _actors(make: Callable[[], Work[Any, Any]], workers: Workers) -> list[_Slot]:
    """Workers on a Ray cluster; on one with GPUs each takes a GPU."""
    try:
        import ray
    except ModuleNotFoundError:
        raise FleetError("--ray needs Ray: pip install 'qdtrack[fleet]', the same on every machine") from None
    if not ray.is_initialized():
        try:
            ray.init(address=workers.ray, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise FleetError(
                f"--ray {workers.ray}: no cluster there ({str(error).splitlines()[0]}); `ray start --head` makes one"
            ) from None
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    gpus = any(has.get("GPU", 0) for has in machines)
    cores = [int(has.get("CPU", 0)) // workers.cores for has in machines]
    room = sum(
        min(int(has.get("GPU", 0)), count) if gpus else count for has, count in zip(machines, cores, strict=True)
    )
    if not room:
        raise FleetError(f"--ray {workers.ray}: no machine there has {workers.cores} cores for a worker; see --threads")
    actor = ray.remote(num_cpus=workers.cores, num_gpus=1 if gpus else 0)(_Worker)
    return [_Actor(actor, make) for _ in range(workers.jobs or room)]


class _Actor:
    """A worker on a Ray cluster."""

    def __init__(self, kind: Any, make: Callable[[], Work[Any, Any]]) -> None:
        from ray import exceptions

        self.lost: tuple[type[BaseException], ...] = (
            exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        )  # fmt: skip
        self._kind, self._make = kind, make
        self.renew()

    def renew(self) -> None:
        self._actor = self._kind.remote(self._make, os.getcwd())

    def ready(self) -> Future[Any]:
        return self._actor.__ray_ready__.remote().future()

    def submit(self, item: Any) -> Future[Any]:
        return self._actor.work.remote(item).future()

    def close(self) -> None:
        import ray

        ray.kill(self._actor)
