"""Threads that work on the newest of what comes: it is handed over to them, and never makes a callback wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Generic, TypeVar

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
    """Runs ``handle(items)`` in threads of its own for the items given to :meth:`offer`.

    Every key (a camera) has a queue of its own: at most ``capacity`` items wait in it, and a further one pushes the
    oldest out, so what is handled is never old. The key that was served longest ago is served first, so that no fast
    camera starves a slow one. ``handle`` gets at most one item of a key, ``batch`` in all; it waits for more only while
    a key is due, by the rhythm in which its items came, or while the second stage is busy anyway. What ``handle``
    raises goes to ``report``, and the thread goes on with the next items.

    Args:
        handle: the first stage of the work, and the only one unless there are others.
        keys: those of :meth:`offer`.
        capacity: items of a key that may wait.
        batch: items that are handled together.
        then: stages that follow; each is given what the one before returned.
        hands: batches in hand at once, a thread each: while one is in the second stage another is in the first. No
            stage has two, and none overtakes another.
        name: of the threads.
        report: is told what a stage raised.
    """

    def __init__(
        self,
        handle: Callable[[list[T]], Any],
        keys: Iterable[K],
        capacity: int,
        batch: int = 1,
        *,
        then: Sequence[Callable[[Any], Any]] = (),
        hands: int = 1,
        name: str = "qdtrack-worker",
        report: Callable[[Exception], None],
    ) -> None:
        self._stages = (handle, *then)
        self._gates = [threading.Lock() for _ in self._stages]  # each held by the thread that is in the stage
        self._queues: dict[K, _Queue[T]] = {key: _Queue() for key in keys}  # in the order in which it is their turn
        self._capacity = capacity
        self._batch = min(batch, len(self._queues))
        self._report = report
        self._changed = threading.Condition()
        self._closing = False
        self._begun: dict[threading.Thread, float] = {}  # when each entered the stage that it is in
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for _ in range(hands)]
        for thread in self._threads:
            thread.start()

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
        """Whether all threads are there: something that is no Exception ends one, and so does native code."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def busy(self) -> float:
        """Seconds that the items in hand have been in their stage, the longest; 0 where there are none."""
        begun = list(self._begun.values())
        return time.monotonic() - min(begun) if begun else 0.0

    def close(self, patience: float = PATIENCE) -> bool:
        """Forget the waiting items and end the threads when the items in hand are done; False if one did not end."""
        end = time.monotonic() + patience
        with self._changed:
            self._closing = True
            self._changed.notify()
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while self._carry():
            pass

    def _carry(self) -> bool:
        """Take the next items through all stages; False when the worker is to end.

        A stage is left when the next one is free, not before: so no items overtake others.
        """
        gate = self._gates[0]
        gate.acquire()
        try:
            carried: Any = self._next()
            if not carried:
                return False
            for stage, following in zip_longest(self._stages, self._gates[1:]):
                self._begun[threading.current_thread()] = time.monotonic()
                carried = stage(carried)
                if following is not None:
                    following.acquire()
                    self._leave(gate)
                    gate = following
        except Exception as error:  # whatever it is, the next items may fare better
            self._report(error)
        finally:
            self._begun.pop(threading.current_thread(), None)
            self._leave(gate)
        return True

    def _leave(self, gate: threading.Lock) -> None:
        gate.release()
        with self._changed:
            self._changed.notify()  # who waits for the second stage to be free

    def _next(self) -> list[T]:
        """Wait for the next items; none when the worker is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._enough())
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
            return items

    def _enough(self) -> bool:
        """Whether there is something to take; while the second stage is busy only what is worth its turn, a batch."""
        busy = any(gate.locked() for gate in self._gates[1:2])
        return self._ready() >= (self._batch if busy else 1)

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
