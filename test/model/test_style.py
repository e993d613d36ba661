"""Lint, layout and types, as strict as pyproject.toml says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check", "--diff"], ["mypy"]], ids=" ".join
)
def test_style(command: list[str]) -> None:
    tool = pytest.importorskip(command[0], reason=f"{command[0]} is not installed: pip install -e '.[test]'").__name__
    done = subprocess.run([sys.executable, "-m", tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)} says:\n{done.stdout}{done.stderr}"
