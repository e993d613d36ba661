"""Kinds of command-line arguments that several subcommands share, as ``type=`` of argparse."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import yaml

from qdtrack_model.config import ConfigError
from qdtrack_model.fleet.workers import Workers


def frame_range(text: str) -> tuple[int, int]:
    """Parse ``FIRST-LAST``, frame numbers from 1, both included."""
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected FIRST-LAST such as 129-171")
    return int(first), int(last)


def key_values(pairs: Sequence[str], what: str) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` pairs, values as in YAML.

    Args:
        pairs: as given.
        what: they belong to, such as ``--tracker``, for the error.

    Raises:
        ConfigError: a pair without a key, a value or the sign between them.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not (key and sign and text):
            raise ConfigError(f"{what}: got {pair!r}, expected KEY=VALUE such as memory_span=2")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"{what}: {key}: got {text!r}, expected a number, a word, true or false") from None
    return values


def add_workers_arguments(parser: argparse.ArgumentParser) -> None:
    """How many workers share the bags, and where they are."""
    add = parser.add_argument
    add("--jobs", type=positive_integer, metavar="N", help="bags at once, in processes of their own [1]")
    add("--ray", metavar="ADDRESS", help="workers on a Ray cluster: its address, or auto; their number is --jobs [all]")


def chosen_workers(args: argparse.Namespace) -> Workers:
    """What ``--jobs``, ``--ray`` and ``--threads`` stand for: without ``--threads`` workers share the cores."""
    share = 1 if args.ray else max(1, (os.cpu_count() or 1) // (args.jobs or 1))
    return Workers(args.jobs, args.ray, getattr(args, "threads", None) or share)


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
