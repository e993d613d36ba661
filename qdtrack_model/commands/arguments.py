"""Kinds of command-line arguments that several subcommands share, as ``type=`` of argparse."""

from __future__ import annotations

import argparse


def frame_range(text: str) -> tuple[int, int]:
    """Parse ``FIRST-LAST``, frame numbers from 1, both included."""
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected FIRST-LAST such as 129-171")
    return int(first), int(last)


def positive_integer(text: str) -> int:
    """Parse a whole number from 1."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a positive whole number")
    return int(text)


def class_names(text: str) -> tuple[str, ...]:
    """Parse names of classes, ``person,car``: each once, in any order."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected names such as person,car, each once")
    return names
