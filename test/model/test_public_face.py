"""What ``import qdtrack_model`` gives: all of it, late, with types, and as README and docs/api.md say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qdtrack_model
from qdtrack_model.drawing.video import VideoWriter
from qdtrack_model.structures import Array

ROOT = Path(__file__).parents[2]


def run(arguments: list[str], folder: Path) -> str:
    """What Python prints when it is called with these arguments in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_importing_waits_for_nothing(tmp_path: Path) -> None:
    script = (
        "import sys, qdtrack_model\n"
        "heavy = {'numpy', 'cv2', 'torch', 'onnxruntime', 'yaml', 'safetensors'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
        "qdtrack_model.QuasiDenseTracker().update(qdtrack_model.Detections.empty(), time=0)\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
        "qdtrack_model.Pipeline, qdtrack_model.Options, qdtrack_model.SourceError\n"
        "print(sorted({'torch', 'onnxruntime'} & sys.modules.keys()))\n"
    )
    assert run(["-c", script], tmp_path).splitlines() == ["[]", "['numpy', 'yaml']", "[]"]


@pytest.mark.parametrize("name", qdtrack_model.__all__)
def test_every_name_is_there_and_explained(name: str) -> None:
    assert name in dir(qdtrack_model)
    value = getattr(qdtrack_model, name)
    assert value.__name__ == name
    assert value.__doc__


def test_another_name_is_missing() -> None:
    with pytest.raises(AttributeError, match="module 'qdtrack_model' has no attribute 'trac'"):
        qdtrack_model.trac  # noqa: B018


def test_load_hands_on_what_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(qdtrack_model.CheckpointError, match="nobody"):
        qdtrack_model.load("nobody")
    with pytest.raises(qdtrack_model.ConfigError, match="did you mean 'memory_span'"):
        qdtrack_model.load("street", tracker={"memory_spam": 3})
    with pytest.raises(ValueError, match="torch has no int8"):
        qdtrack_model.load("street", qdtrack_model.Options("torch", "int8"))


def test_read_gives_images_and_their_times(blob_folder: Path, blob_image: Callable[..., tuple[Array, Array]]) -> None:
    images, times = zip(*qdtrack_model.read(blob_folder), strict=True)
    np.testing.assert_allclose(times, np.arange(20) / 10)
    np.testing.assert_array_equal(images[3], blob_image(4)[0])
    with pytest.raises(qdtrack_model.SourceError, match="no such file"):
        next(qdtrack_model.read(blob_folder / "nothing"))


@pytest.mark.slow
def test_the_lines_in_the_readme_run(tmp_path: Path, blob_image: Callable[..., tuple[Array, Array]]) -> None:
    [lines] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.M)
    with VideoWriter(tmp_path / "video.mp4", 10) as video:
        for index in range(1, 5):
            video.write(blob_image(index)[0], index / 10)
    printed = run(["-c", lines], tmp_path)
    assert re.findall(r"^(\S+) \[.*?\] \[", printed, re.MULTILINE) == ["0.0", "0.1", "0.2", "0.3"]


def test_the_api_page_is_current() -> None:
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert run(["tools/api_page.py"], ROOT) == written, "run: python tools/api_page.py > docs/api.md"
