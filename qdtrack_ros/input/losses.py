"""Messages that were published and never came: by their numbers, or by what the middleware says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Losses:
    """Counts what a subscription missed.

    Every publisher numbers its messages. Where the middleware does not hand out these numbers, or not whose they are,
    what it reports as lost counts; that is less, as it leaves out what its own queues pushed out.

    Args:
        count: told how many more were lost.
    """

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._newest: dict[str, int] = {}  # number of the newest message, by publisher

    def received(self, info: Mapping[str, Any]) -> None:
        """Take in what the middleware says of a message that came."""
        publisher, number = info.get("publisher_gid"), info.get("publication_sequence_number")
        if publisher is None or number is None:
            return
        newest = self._newest.get(str(publisher), number)
        if number > newest + 1:
            self._count(number - newest - 1)
        self._newest[str(publisher)] = max(number, newest)

    def reported(self, lost: int) -> None:
        """Take in what the middleware reports as lost."""
        if not self._newest:
            self._count(lost)
