"""Threads that work on the newest of what comes: it is handed over to them, and never makes a callback wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

# Cameras that are triggered together deliver within this time [s]; the first image of a batch waits no longer.
COINCIDENCE = 0.005
# A key that missed its turn by half a period is silent: nobody waits for it.
_OVERDUE = 1.5
# Seconds that a thread is given to end with what it has in hand.
PATIENCE = 3.0


@dataclass
class _Queue(Generic[T]):
    """What waits of one key, and when its items come."""

    waiting: deque[T] = field(default_factory=deque)
    arrival: float | None = None  # of the latest
    period: float | None = None  # from the one before to the latest [s]

    def due(self, now: float) -> bool:
        """Whether the next item should come just now; what is long overdue is silent."""
        if self.arrival is None or self.period is None:
            return False
        return self.period - COINCIDENCE <= now - self.arrival <= _OVERDUE * self.period


class Worker(Generic[K, T]):
    """Runs ``handle(items)`` in its own thread for the items given to :meth:`offer`.

    Every key (a camera) has a queue of its own: at most ``capacity`` items wait in it, and a further one pushes the
    oldest out, so what is handled is never old. The key that was served longest ago is served first, so that no fast
    camera starves a slow one. ``handle`` gets at most one item of a key, ``batch`` in all; it waits for more only while
    a key is due, by the rhythm in which its items came. What ``handle`` raises goes to ``report``, and the thread goes
    on with the next items.
    """

    def __init__(
        self,
        handle: Callable[[list[T]], None],
        keys: Iterable[K],
        capacity: int,
        batch: int = 1,
        *,
        name: str = "qdtrack-worker",
        report: Callable[[Exception], None],
    ) -> None:
        self._handle = handle
        self._queues: dict[K, _Queue[T]] = {key: _Queue() for key in keys}  # in the order in which it is their turn
        self._capacity = capacity
        self._batch = min(batch, len(self._queues))
        self._report = report
        self._changed = threading.Condition()
        self._closing = False
        self._begun: float | None = None  # when it took the items in hand
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, key: K, item: T) -> bool:
        """Hand ``item`` over without waiting; False when an older one had to be dropped for it."""
        now = time.monotonic()
        with self._changed:
            queue = self._queues[key]
            queue.period = now - queue.arrival if queue.arrival is not None else None
            queue.arrival = now
            full = len(queue.waiting) >= self._capacity
            if full:
                queue.waiting.popleft()
            queue.waiting.append(item)
            self._changed.notify()
        return not full

    def waiting(self, key: K) -> int:
        """How many items of ``key`` wait."""
        with self._changed:
            return len(self._queues[key].waiting)

    @property
    def alive(self) -> bool:
        """Whether the thread is there: something that is no Exception ends it, and so does native code."""
        return self._thread.is_alive()

    @property
    def busy(self) -> float:
        """Seconds that the items in hand have taken so far; 0 where there are none."""
        begun = self._begun
        return time.monotonic() - begun if begun is not None else 0.0

    def close(self, patience: float = PATIENCE) -> bool:
        """Forget the waiting items and end the thread when the items in hand are done; False if it did not end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while items := self._next():
            try:
                self._handle(items)
            except Exception as error:  # whatever it is, the next items may fare better
                self._report(error)
            self._begun = None

    def _next(self) -> list[T]:
        """Wait for the next items; none when the worker is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._ready() > 0)
            end = time.monotonic() + COINCIDENCE
            while not self._closing and self._ready() < self._batch and self._anyone_due():
                if not self._changed.wait(end - time.monotonic()):
                    break
            if self._closing:
                return []
            items = []
            for key in [key for key, queue in self._queues.items() if queue.waiting][: self._batch]:
                items.append(self._queues[key].waiting.popleft())
                self._queues[key] = self._queues.pop(key)  # to the end: its next turn is the last
            self._begun = time.monotonic()
            return items

    def _ready(self) -> int:
        return sum(1 for queue in self._queues.values() if queue.waiting)

    def _anyone_due(self) -> bool:
        now = time.monotonic()
        return any(not queue.waiting and queue.due(now) for queue in self._queues.values())


def left_behind(patience: float) -> list[str]:
    """The names of our threads that have not ended within so many seconds."""
    end = time.monotonic() + patience
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("qdtrack-")]
    for thread in ours:
        thread.join(max(0.0, end - time.monotonic()))
    return sorted(thread.name for thread in ours if thread.is_alive())
