"""The results of a run as a table: a row for each sequence and class, as Parquet for notebooks and data bases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdtrack_model.atomic import atomic_write

RESULTS = "results.parquet"


def rows_of(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of what ``run.json`` holds: bag, camera, class and tags, then scores and what tracks tell."""
    rows = []
    for told in content["sequences"]:
        for kind in dict.fromkeys((*told["scores"], *told["tracks"])):
            rows.append({
                "bag": told["bag"], "sequence": told["name"], "camera": told["name"].rpartition("/")[2], "class": kind,
                "frames": told["frames"], "seconds": told["seconds"],
                **{f"tag_{name}": value for name, value in told.get("tags", {}).items()},
                **told["scores"].get(kind, {}), **told["tracks"].get(kind, {}),
            })  # fmt: skip
    return rows


def write_results(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write ``results.parquet``.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow
    from pyarrow import parquet

    rows = rows_of(content)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    with atomic_write(folder / RESULTS) as partial:
        parquet.write_table(pyarrow.table(columns), partial)
    return folder / RESULTS
