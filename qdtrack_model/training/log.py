"""What a training did, step by step: a CSV file, and TensorBoard's files where that is installed."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdtrack_model.atomic import atomic_write

STEP = "step"


def tensorboard_folder(path: Path) -> Path | None:
    """Where TensorBoard's files go that belong to the CSV file ``path``; None where TensorBoard is not installed."""
    return path.with_suffix(".tensorboard") if importlib.util.find_spec("tensorboard") else None


class Log:
    """Values by name, a row for each step that has any; a cell is empty where a step has no such value.

    Args:
        path: of the CSV file. What it holds of later steps is left out, as these are done again.
        first: the step from which training goes on; 0 starts the file anew.

    Raises:
        ValueError: the file is no such log.
    """

    def __init__(self, path: Path, first: int) -> None:
        self._path = path
        self._rows = [row for row in _read(path) if int(row[STEP]) <= first] if first else []
        self._columns = list(dict.fromkeys([STEP, *(name for row in self._rows for name in row)]))
        self._write_all()
        self._board: Any = None
        if folder := tensorboard_folder(path):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder), purge_step=first + 1 if first else 0)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row; a name that is new becomes the last column."""
        row = {STEP: str(step), **{name: f"{value:.6g}" for name, value in values.items()}}
        self._rows.append(row)
        if new := [name for name in row if name not in self._columns]:
            self._columns += new
            self._write_all()
        else:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()

    def close(self) -> None:
        """Release TensorBoard's files."""
        if self._board:
            self._board.close()

    def _write_all(self) -> None:
        with atomic_write(self._path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)


def _read(path: Path) -> list[dict[str, str]]:
    """The rows of a log, none where there is no file yet."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    if not all(row.get(STEP, "").isdecimal() and None not in row for row in rows):
        raise ValueError(f"{path}: not the log of a training; move it away, and a new one is begun")
    return rows
