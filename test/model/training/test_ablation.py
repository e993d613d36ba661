"""The ablation from one command, on a network and a scene so small that nothing is learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.commands import INTERRUPTED
from qdtrack_model.config import OneShotConfig, QDTrackConfig, QuasiDenseConfig
from qdtrack_model.data.detections import SceneDetections
from qdtrack_model.data.sources import open_source
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.networks import QDTrack, build

from .scene import write_folder

MODEL = QDTrackConfig(
    classes=("pedestrian",), input_size=(64, 96), depth=18, style="pytorch", channels=32, head_width=32,
    embedding_size=16, sampling=1, clip_boxes=True, proposals_per_level=20, proposals=20, max_detections=8,
    score_floor=0.3,
)  # fmt: skip
TRACKER = QuasiDenseConfig(init_score=0.3, object_score=0.2, motion="gate", memory_span=2.0)
RECIPE = """
architecture: qdtrack
batch: 1
region_samples: 16
pairs: {crop_size: [64, 64], reference_range: 2}
"""


@pytest.fixture(scope="module")
def ablation(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """``benchmarks/ablation.py``."""
    return benchmark("ablation")


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The command for a network of random weights, in ``tmp_path``, with two steps a head and a seed."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    checkpoints.save(tmp_path / "tiny.safetensors", build(MODEL), MODEL, TRACKER, {})
    write_folder(tmp_path / "data" / "blocks")
    write_folder(tmp_path / "held_out")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    options = {"weights": "tiny.safetensors", "data": "data", "scenes": "held_out", "output": "out"}
    options |= {"config": "recipe.yaml"}
    given = [text for name, value in options.items() for text in (f"--{name}", str(tmp_path / value))]
    return [*given, "--steps", "2", "--device", "cpu", "--seeds", "0"]


def files(folder: Path) -> dict[str, int]:
    """Heads and detections with the time at which each was written."""
    found = [*folder.glob("heads/*"), *folder.glob("detections/**/*.npz")]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


@pytest.mark.slow
def test_one_command_trains_tracks_and_writes_the_table(
    ablation: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    assert ablation.main(arguments) == 0
    out = tmp_path / "out"
    first = files(out)
    heads = [f"{name}-0" for name in ("quasi-dense", "sparse", "no-auxiliary")]
    assert first.keys() == {f"heads/{h}.safetensors" for h in heads} | {f"detections/held_out/{h}.npz" for h in heads}
    weights = [load_file(out / "heads" / f"{head}.safetensors")["fc_embed.weight"] for head in heads]
    assert not any(torch.equal(weights[i], weights[i - 1]) for i in range(3))
    text = (out / "ablation.md").read_text()
    for variant in ("quasi-dense", "sparse", "no-auxiliary"):
        for metric in ("bisoftmax", "softmax", "cosine"):
            assert text.count(f"| {variant} | {metric} | ") == 2, "appearance alone, and as tuned"
    scores = json.loads((out / "ablation.json").read_text())["scores"]
    assert len(scores) == 18
    assert {score["objects"] for score in scores.values()} == {24}

    assert ablation.main([*arguments, "1"]) == 0
    second = files(out)
    assert {name: time for name, time in second.items() if name in first} == first, "what was there is kept"
    assert len(second) == 12
    assert ".." in (out / "ablation.md").read_text()


def test_one_pass_over_the_frames_detects_what_each_network_would(
    ablation: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    assert ablation.main(arguments) == 0
    for head in ("quasi-dense-0", "sparse-0"):
        network = checkpoints.load(tmp_path / "tiny.safetensors").network()
        assert isinstance(network, QDTrack)
        network.embedding_head.load_state_dict(load_file(tmp_path / "out" / "heads" / f"{head}.safetensors"))
        checkpoints.save(tmp_path / "whole.safetensors", network, MODEL, TRACKER, {})
        runtime = runtimes.load(checkpoints.load(tmp_path / "whole.safetensors"), runtimes.Options("torch", threads=1))
        scene = SceneDetections.load(tmp_path / "out" / "detections" / "held_out" / f"{head}.npz")
        preprocess = Preprocessor(MODEL)
        with open_source(tmp_path / "held_out") as source:
            frames = list(source)
        assert scene.frames == [frame.index for frame in frames]
        assert scene.times == [frame.time for frame in frames]
        assert sum(map(len, scene.detections)) > 0
        for frame, found in zip(frames, scene.detections, strict=True):
            batch, [letterbox] = preprocess([frame.image])
            expected = letterbox.to_source(runtime.infer(batch)[0])
            for name in ("boxes", "scores", "labels", "embeddings"):
                np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-3, atol=1e-4)


def test_the_same_command_goes_on_after_an_interruption(
    ablation: ModuleType, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = ablation.train, 0

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(ablation, "train", interrupted)
    assert ablation.main(arguments) == INTERRUPTED
    assert files(tmp_path / "out").keys() == {"heads/quasi-dense-0.safetensors"}
    assert ablation.main(arguments) == 0
    assert calls == 4, "one was trained, one interrupted, two left"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--scenes", "{folder}/data"], "blocks: is among the training scenes"),
        (["--scenes", "{folder}/held_out", "{folder}/again/held_out"], "two of them have one name"),
        (["--scenes", "{folder}/nowhere"], "nowhere: no such folder or file"),
        (["--weights", "{folder}/other.safetensors"], "other.safetensors: holds another network, expected a QDTrack"),
        (["--config", "{folder}/other.yaml"], "other.yaml: expected a recipe with `architecture: qdtrack`"),
        (["--seeds", "0", "-1"], "seed: got -1"),
        (["--output", "{folder}/old"], "old: holds heads of another detector, recipe or data"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_trained(
    ablation: ModuleType,
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    write_folder(tmp_path / "again" / "held_out")
    other = OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20)
    checkpoints.save(tmp_path / "other.safetensors", build(other), other, TRACKER, {})
    (tmp_path / "other.yaml").write_text("steps: 3")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "settings.json").write_text("{}")
    assert ablation.main([*arguments, *(text.format(folder=tmp_path) for text in more)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ablation: error: ")
    assert message in line
    assert not (tmp_path / "out").exists()
