"""The one thread that tracks: images are handed over to it, and it never makes a camera's callback wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

# Cameras that are triggered together deliver within this time [s]; the first image of a batch waits no longer.
COINCIDENCE = 0.005


class Worker(Generic[K, T]):
    """Runs ``handle(items)`` in its own thread for the items given to :meth:`offer`.

    Every key (a camera) has a queue of its own: at most ``capacity`` items wait in it, and a further one pushes the
    oldest out, so what is handled is never old. The key that was served longest ago is served first, so that no fast
    camera starves a slow one. ``handle`` gets at most one item of a key, ``batch`` in all, and must not raise: what it
    cannot do it has to report itself.
    """

    def __init__(self, handle: Callable[[list[T]], None], keys: Iterable[K], capacity: int, batch: int = 1) -> None:
        self._handle = handle
        self._waiting: dict[K, deque[T]] = {key: deque() for key in keys}  # in the order in which it is their turn
        self._capacity = capacity
        self._batch = min(batch, len(self._waiting))
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="qdtrack-worker", daemon=True)
        self._thread.start()

    def offer(self, key: K, item: T) -> bool:
        """Hand ``item`` over without waiting; False when an older one had to be dropped for it."""
        with self._changed:
            queue = self._waiting[key]
            full = len(queue) >= self._capacity
            if full:
                queue.popleft()
            queue.append(item)
            self._changed.notify()
        return not full

    def waiting(self, key: K) -> int:
        """How many items of ``key`` wait."""
        with self._changed:
            return len(self._waiting[key])

    def close(self) -> None:
        """Finish the items in hand, forget the waiting ones and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while items := self._next():
            self._handle(items)

    def _next(self) -> list[T]:
        """Wait for the next items; none when the worker is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._ready() > 0)
            if 0 < self._ready() < self._batch:
                self._changed.wait_for(lambda: self._closing or self._ready() >= self._batch, COINCIDENCE)
            if self._closing:
                return []
            items = []
            for key in [key for key, queue in self._waiting.items() if queue][: self._batch]:
                items.append(self._waiting[key].popleft())
                self._waiting[key] = self._waiting.pop(key)  # to the end: its next turn is the last
            return items

    def _ready(self) -> int:
        return sum(1 for queue in self._waiting.values() if queue)
