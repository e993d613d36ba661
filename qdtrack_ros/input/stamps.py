"""Header stamps as numbers."""

from __future__ import annotations

from std_msgs.msg import Header

_NANOSECONDS = 1_000_000_000


def stamp_seconds(header: Header) -> float:
    """The header's stamp in seconds."""
    return float(header.stamp.sec) + header.stamp.nanosec / _NANOSECONDS


def stamp_nanoseconds(header: Header) -> int:
    """The header's stamp in nanoseconds, exact."""
    return int(header.stamp.sec) * _NANOSECONDS + int(header.stamp.nanosec)
