"""``qdtrack synthesize``: what it writes reads back, and nothing that is there is lost."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import pytest

from qdtrack_model.commands import synthesize
from qdtrack_model.data.readers.mot import read_mot, read_seqinfo
from qdtrack_model.synthetic import MINIMUM_VISIBILITY, Scene, SceneFrame


def _run(tmp_path: Path, *extra: str) -> int:
    parser = argparse.ArgumentParser()
    synthesize.add_arguments(parser)
    base = ["--output", str(tmp_path / "out"), "--frames", "2", "--size", "160x96", "--seed", "5"]
    return synthesize.main(parser.parse_args([*base, *extra]))


def test_command_writes_sequences_that_read_back(tmp_path: Path) -> None:
    assert _run(tmp_path, "--sequences", "2", "--workers", "2") == 0
    folders = sorted((tmp_path / "out").iterdir())
    assert [folder.name for folder in folders] == ["street-0005", "street-0006"]
    info = read_seqinfo(folders[0])
    assert (info.name, info.frame_rate, info.length, info.width, info.height) == ("street-0005", 25, 2, 160, 96)
    assert cv2.imread(str(folders[0] / "img1" / "000002.jpg")).shape == (96, 160, 3)
    boxes = read_mot(folders[0] / "gt" / "gt.txt")
    scored = boxes.confidences == 1
    assert scored.any() and set(boxes.classes[scored].tolist()) <= {1, 3}
    assert (boxes.classes[~scored] == 8).all()
    assert (boxes.visibilities[scored] >= MINIMUM_VISIBILITY).all()
    assert boxes.ids.min() >= 1 and set(boxes.frames.tolist()) == {1, 2}


def test_command_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        _run(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious.txt"]


def test_interrupted_command_leaves_nothing_that_looks_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Scene, index: int) -> SceneFrame:
        raise KeyboardInterrupt

    monkeypatch.setattr(Scene, "frame", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path)
    assert list(tmp_path.iterdir()) == []
