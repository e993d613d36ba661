"""What ``qdtrack_model`` logs, such as how far a fetch or a compilation is, as lines of the node's own log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.node import Node


class _Forward(logging.Handler):
    def __init__(self, node: Node) -> None:
        super().__init__(logging.INFO)
        self._log = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:  # rclpy refuses another severity from the same line of source
            self._log.error(text)
        elif record.levelno >= logging.WARNING:
            self._log.warning(text)
        else:
            self._log.info(text)


@contextmanager
def forwarded(node: Node) -> Iterator[None]:
    """While this is entered, the node's log has what ``qdtrack_model`` logs, from INFO on."""
    source, handler = logging.getLogger("qdtrack_model"), _Forward(node)
    before = source.level
    source.addHandler(handler)
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.removeHandler(handler)
        source.setLevel(before)
