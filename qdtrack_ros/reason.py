"""Errors in one line, for the log and for whoever waits for an answer."""

from __future__ import annotations


def reason(error: Exception) -> str:
    """One line: our own errors say everything in their text, others need their type as well."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no details"
    return text if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"
