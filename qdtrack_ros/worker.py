"""The one thread that tracks: images are handed over to it, and it never makes the camera's callback wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """Runs ``handle(item)`` in its own thread for the items given to :meth:`offer`, oldest first.

    At most ``capacity`` items wait; a further one pushes the oldest out, so what is handled is never old.
    ``handle`` must not raise: what it cannot do it has to report itself.
    """

    def __init__(self, handle: Callable[[T], None], capacity: int) -> None:
        self._handle = handle
        self._waiting: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="qdtrack-worker", daemon=True)
        self._thread.start()

    def offer(self, item: T) -> bool:
        """Hand ``item`` over without waiting; False when an older one had to be dropped for it."""
        with self._changed:
            full = len(self._waiting) >= self._capacity
            if full:
                self._waiting.popleft()
            self._waiting.append(item)
            self._changed.notify()
        return not full

    def close(self) -> None:
        """Finish the item in hand, forget the waiting ones and end the thread."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                item = self._waiting.popleft()
            self._handle(item)
