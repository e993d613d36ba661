"""The evaluation protocols of public benchmarks, one file each: their scores equal those of the official code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """What a protocol answers.

    Args:
        scores: every score and count by the official code's names, ready for JSON: ratios as it gives them, None where
            one is not defined.
        table: the main scores for people: the header, then rows of as many texts, the first a name; an empty row is a
            rule.
        warnings: what is valid but seldom meant, a line each.
        more: what stands beside the scores in the JSON file.
    """

    scores: dict[str, Any]
    table: list[list[str]]
    warnings: list[str]
    more: dict[str, Any] = field(default_factory=dict)
