"""What ``benchmarks/runtimes.py`` found, as Markdown."""

from __future__ import annotations

from typing import Any

COLUMNS = {  # key of a row -> heading and format
    "runtime": ("runtime", "{}"),
    "precision": ("precision", "{}"),
    "p50_ms": ("ms p50", "{:.4g}"),
    "p95_ms": ("p95", "{:.4g}"),
    "images_per_second": ("images/s", "{:.1f}"),
    "memory_mb": ("MB", "{:.0f}"),
    "first_frame_s": ("first frame s", "{:.1f}"),
    "vs_torch": ("vs torch", "{:.2f}x"),
    "vs_torchvision": ("vs torchvision", "{:.2f}x"),
    "floor_ms": ("floor ms", "{:.2f}"),
    "floor_share": ("of floor", "{:.0%}"),
    "matched": ("matched", "{}"),
    "box_error": ("box error px", "{:.3f}"),
    "score_error": ("score error", "{:.1e}"),
}


def markdown(report: dict[str, Any]) -> str:
    """The report as text."""
    peak = ", ".join(f"{value / 1e9:.0f} GFLOP/s {name}" for name, value in report["peak"].items() if name != "copy")
    lines = [
        f"{report['machine']}, {report['rounds']} rounds; peak {peak}, copy {report['peak']['copy'] / 1e9:.1f} GB/s"
    ]
    lines += report["notes"]
    models = dict.fromkeys((row["model"], *row["size"], row["batch"]) for row in report["rows"])
    for model, height, width, batch in models:
        rows = [r for r in report["rows"] if (r["model"], *r["size"], r["batch"]) == (model, height, width, batch)]
        columns = {key: column for key, column in COLUMNS.items() if any(key in row for row in rows)}
        lines += ["", f"**{model}**, {height}x{width}, batch {batch}", ""]
        lines += ["| " + " | ".join(heading for heading, _ in columns.values()) + " |"]
        lines += ["|" + " --- |" * len(columns)]
        for row in rows:
            cells = [form.format(row[key]) if key in row else "" for key, (_, form) in columns.items()]
            lines.append("| " + " | ".join(cells) + " |")
        for row in rows:
            lines += costs_table(row) if row.get("costs") else []
    return "\n".join(lines) + "\n"


def costs_table(row: dict[str, Any]) -> list[str]:
    """Where the time of one line of the table goes."""
    lines = ["", f"{row['model']} by {row['runtime']} {row['precision']}:", ""]
    lines += ["| ms | share | |", "| --- | --- | --- |"]
    for cost in row["costs"]:
        name = cost["name"].replace("|", "/")
        lines.append(f"| {cost['ms']:.3f} | {cost['share']:.0%} | `{name}` |")
    return lines
