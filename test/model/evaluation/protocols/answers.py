"""Comparison of scores with the answers of the public evaluation code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def differences(expected: Any, found: Any, where: str = "") -> Iterator[str]:
    """Each place where ``found`` lacks what is expected or differs: in a count at all, in a ratio by more than 1e-9."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key not in found:
                yield f"{where}/{key}: missing"
            else:
                yield from differences(value, found[key], f"{where}/{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (value, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(value, other, f"{where}/{index}")
    elif isinstance(expected, float) and isinstance(found, int | float):
        if not abs(expected - found) <= 1e-9:
            yield f"{where}: expected {expected!r}, got {found!r}"
    elif expected != found:
        yield f"{where}: expected {expected!r}, got {found!r}"
