"""What ``--size`` of the benchmarks takes."""

from __future__ import annotations

import argparse
import re


def sides(text: str) -> tuple[int, int]:
    """Two whole numbers, as in ``1280x720``."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected two numbers such as 1280x720")
    return int(found[1]), int(found[2])
