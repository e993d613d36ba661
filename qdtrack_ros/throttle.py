"""Saying the same thing only every so often."""

from __future__ import annotations

import time


class Throttle:
    """Lets a message about one problem pass once in ``seconds``; problems do not hold each other back."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed: dict[str, float] = {}

    def passes(self, problem: str) -> bool:
        """Whether it is time to speak of ``problem``."""
        now = time.monotonic()
        if now - self._passed.get(problem, float("-inf")) < self._seconds:
            return False
        self._passed[problem] = now
        return True
