"""The order of header stamps: which image is next, which came twice or late, when the clock jumped."""

from __future__ import annotations

from enum import Enum

JUMP = 1_000_000_000  # ns: no image is delivered so late; stamps that go back further are of a clock set back
_ASCENDING = 3  # images in a row, each behind the newest but after the one before: the clock was set back a little


class Order(Enum):
    """What an image's stamp says of it."""

    NEXT = "next"
    REPEATED = "repeated"
    LATE = "late"
    BACK = "back"  # the clock was set back: a bag began anew, a simulation was restarted


class StampOrder:
    """Judges the stamps of one camera as they come."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._late: int | None = None
        self._ascended = 0

    def judge(self, stamp: int) -> Order:
        """What an image stamped ``stamp`` [ns] is after all before; anything but NEXT and BACK is to be left out."""
        if self._newest is None or stamp > self._newest:
            order = Order.NEXT
        elif stamp == self._newest:
            return Order.REPEATED
        elif self._newest - stamp > JUMP or self._ascends(stamp):
            order = Order.BACK
        else:
            return Order.LATE
        self._newest, self._late, self._ascended = stamp, None, 0
        return order

    def _ascends(self, stamp: int) -> bool:
        """Whether late images come in an order of their own, as after a small step of the clock.

        If not, a single late image would reset the tracks, or a small step of the clock would silence the camera for
        as long.
        """
        self._ascended = self._ascended + 1 if self._late is None or stamp > self._late else 1
        self._late = stamp
        return self._ascended >= _ASCENDING
