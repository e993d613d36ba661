"""``benchmarks/gpu.py`` where there is no GPU: its rows run small, end in time, and are judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def measuring(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """``benchmarks/gpu.py``."""
    return benchmark("gpu")


@pytest.mark.slow
def test_a_bare_checkout_is_enough(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--rows", "r50-torch"]
    files = ["--markdown", str(tmp_path / "table.md"), "--json", str(tmp_path / "figures.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *files], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads((tmp_path / "figures.json").read_text())
    [row] = report["rows"]
    assert (row["name"], row["runtime"], row["verdict"], row["cuda_graph"]) == ("r50-torch", "torch", "passed", "no")
    assert row["share"] == 1 and 0 < row["p50_ms"] <= row["p95_ms"] and row["build_s"] > 0
    assert "| r50-torch | torch | fp32 | 96x160 | 1 |" in (tmp_path / "table.md").read_text()


def test_a_row_ends_when_its_time_is_up_and_the_next_is_left_out(
    measuring: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "LONGEST", 0.01)
    command = ["--device", "cpu", "--rows", "r50-torch", "r50-stages", "--json", str(tmp_path / "figures.json")]
    assert measuring.main(command) == 1
    verdicts = [row["verdict"] for row in json.loads((tmp_path / "figures.json").read_text())["rows"]]
    assert verdicts == ["not done after 0 s"] * 2
    assert measuring.main([*command, "--budget", "1"]) == 0
    verdicts = [row["verdict"] for row in json.loads((tmp_path / "figures.json").read_text())["rows"]]
    assert verdicts == ["left out: the budget is spent"] * 2


@pytest.mark.parametrize(
    ("facts", "capability", "verdict"),
    [
        ({"share": 1.0, "ms_an_image": 2.4}, (9, 0), "passed"),
        ({"share": 1.0, "ms_an_image": 2.6}, (9, 0), "2.60 ms an image, expected 2.5"),
        ({"share": 1.0, "ms_an_image": 26.0}, (8, 7), "passed"),
        ({"share": 0.98, "ms_an_image": 2.4}, (9, 0), "98.0% of the detections of float64, expected 99%"),
        ({"failed": "ended with -11: no word"}, (9, 0), "ended with -11: no word"),
        ({"left_out": "TensorRT is not installed"}, (9, 0), "left out: TensorRT is not installed"),
    ],
)
def test_rows_are_judged(
    measuring: ModuleType, facts: dict[str, Any], capability: tuple[int, int], verdict: str
) -> None:
    assert measuring.judged(measuring.ROWS[0], facts, capability) == verdict


@pytest.mark.parametrize(("eager", "verdict"), [(10.5, "passed"), (9.0, "4.5 times as long as r50-aot, ")])
def test_what_is_compiled_must_be_five_times_as_fast_as_torch(
    measuring: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: float, verdict: str
) -> None:
    took = {"r50-aot": 2.0, "r50-torch": eager}
    monkeypatch.setattr(measuring, "run", lambda row, *_: {"ms_an_image": took[row.name]})
    monkeypatch.setattr(
        measuring, "machine", lambda: {"gpu": "H200", "driver": None, "capability": (9, 0), "versions": {}}
    )
    command = ["--device", "cpu", "--rows", *took, "--json", str(tmp_path / "figures.json")]
    assert measuring.main(command) == int(verdict != "passed")
    compiled, plain = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert compiled["verdict"] == "passed" and plain["verdict"].startswith(verdict)


def test_rows_have_names_of_their_own(measuring: ModuleType) -> None:
    assert len({row.name for row in measuring.ROWS}) == len(measuring.ROWS)
    small = [measuring.on_cpu(row) for row in measuring.ROWS]
    assert {row.runtime for row in small} == {"torch", "aotinductor", "onnxruntime"}
    assert small[0] == replace(measuring.ROWS[0], model="light", precision="fp32", size=measuring.SMALL, goal=None)


@pytest.mark.parametrize("name", ["r50-aot", "r50-aot-tuned"])
def test_tuning_is_asked_of_torch_for_its_row_alone(
    measuring: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: dict[str, str] = {}

    def ended(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.update(env)
        return subprocess.CompletedProcess(command, 0, "{}", "")

    monkeypatch.setattr(measuring.subprocess, "run", ended)
    [row] = [row for row in measuring.ROWS if row.name == name]
    measuring.run(row, 1.0, "cuda")
    assert (asked.get("TORCHINDUCTOR_MAX_AUTOTUNE") == "1") == (name == "r50-aot-tuned")
