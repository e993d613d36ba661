"""The study of joint training on stills, on scenes and a network so small that nothing is learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from qdtrack_model.synthetic import SceneConfig

SMALL = ["model.input_size=[64,96]", "pairs.crop_size=[64,96]", "model.channels=32", "model.head_width=16",
         "batch=1", "box_samples=8", "region_samples=8"]  # fmt: skip


@pytest.fixture(scope="module")
def study(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """``benchmarks/joint_stills.py``."""
    return benchmark("joint_stills")


@pytest.mark.slow
def test_what_is_done_is_not_done_again(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(study, "SEQUENCES", [SceneConfig(600, 6, 10.0, (192, 128), pedestrians=12, vehicles=0)])
    monkeypatch.setattr(study, "CROWDS", [SceneConfig(700, 2, 0.25, (192, 128), pedestrians=12, vehicles=0)])
    given = [*SMALL, "--output", str(tmp_path / "study"), "--seeds", "0", "--steps", "1"]
    assert study.main(given) == 0
    page = (tmp_path / "study" / "joint_stills.md").read_text()
    assert page.count("\n| sequences") == 2
    assert " - |" not in page
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "study").glob("*.*s*") if path.suffix != ".md"}
    assert len(done) == 5, "settings, and weights and scores of both ways"
    assert study.main(given) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert study.main([*given[:-1], "2"]) == 2
    assert "holds runs of another recipe (settings.json); name another folder" in capsys.readouterr().err


def test_gains_are_those_of_seeds_with_both_ways(study: ModuleType) -> None:
    def run(mota: float) -> dict[str, Any]:
        counts = dict.fromkeys(("id_switches", "false_positives", "false_negatives"), 3)
        return {"mota": mota, "idf1": 0.5, "hota": 0.4, **counts}

    recipe = study.read_recipe(study.RECIPE, {**study.SCALED_DOWN, "steps": 7})
    text = study.report(recipe, {"sequences": {0: run(0.2), 1: run(0.4)}, "sequences and stills": {0: run(0.25)}})
    assert "| sequences | 30.0 (20.0..40.0) | 50.0 (50.0..50.0) |" in text
    assert "| sequences and stills | 25.0 |" in text
    assert "What stills add, seed by seed: MOTA +5.0; IDF1 +0.0; HOTA +0.0." in text
