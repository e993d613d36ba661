"""The fields of image messages that matter here, and how they are refused."""

from __future__ import annotations

from typing import Any, Protocol


class InvalidImage(ValueError):
    """An image message that cannot be used: the ``problem`` in a word or two, the text with its details."""

    def __init__(self, problem: str, details: str) -> None:
        super().__init__(f"{problem}: {details}")
        self.problem = problem


class RawMessage(Protocol):
    """The fields of ``sensor_msgs/Image`` that matter here; ``data`` is any buffer of bytes."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedMessage(Protocol):
    """The fields of ``sensor_msgs/CompressedImage`` that matter here; ``data`` is any buffer of bytes."""

    format: str
    data: Any


def shown(text: str) -> str:
    """A string of a message for a log line: a corrupt one may be of any length."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
