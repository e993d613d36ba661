"""What ``qdtrack_model`` logs, such as how far a fetch or a compilation is, as lines of the node's own log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rclpy.impl.rcutils_logger import RcutilsLogger


class Progress:
    """What is going on in something that takes its time, and for how long."""

    def __init__(self) -> None:
        self._begin: float | None = None
        self._heard = ""

    def begin(self) -> None:
        """It begins."""
        self._begin, self._heard = time.monotonic(), "loading the network"

    def hear(self, text: str) -> None:
        """The latest that is said of it."""
        self._heard = text

    def end(self) -> None:
        """It is over."""
        self._begin = None

    @property
    def text(self) -> str:
        """In words; "" while nothing is going on."""
        begin = self._begin
        return f"{self._heard}; {time.monotonic() - begin:.0f} s so far" if begin is not None else ""


class _Forward(logging.Handler):
    def __init__(self, log: RcutilsLogger, hear: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._log, self._hear = log, hear

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._hear(text)
        if record.levelno >= logging.ERROR:  # rclpy refuses another severity from the same line of source
            self._log.error(text)
        elif record.levelno >= logging.WARNING:
            self._log.warning(text)
        else:
            self._log.info(text)


@contextmanager
def forwarded(log: RcutilsLogger, hear: Callable[[str], None]) -> Iterator[None]:
    """While this is entered, the node's log has what ``qdtrack_model`` logs, from INFO on, and ``hear`` is told it."""
    source, handler = logging.getLogger("qdtrack_model"), _Forward(log, hear)
    before = source.level
    source.addHandler(handler)
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.removeHandler(handler)
        source.setLevel(before)
