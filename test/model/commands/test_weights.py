"""``qdtrack weights``: the list, and fetching ahead; public weights by name in the other commands."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import yaml

from qdtrack_model import checkpoints, cli
from qdtrack_model.cache import sha256
from qdtrack_model.checkpoints import PUBLIC, SHIPPED
from qdtrack_model.checkpoints.catalogue import PublicWeights
from qdtrack_model.commands import export
from qdtrack_model.config import QDTrackConfig, to_mapping
from qdtrack_model.networks import QDTrack

CONFIG = QDTrackConfig(
    classes=("pedestrian",), input_size=(64, 96), depth=18, channels=32, head_width=16, embedding_size=8,
    proposals_per_level=20, proposals=20, max_detections=5, score_floor=0.0,
)  # fmt: skip


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a server that has the weights ``seeded`` and nothing else."""
    torch.manual_seed(0)
    state = {f"detector.{name}": value for name, value in QDTrack(CONFIG).state_dict().items()}
    embedding = "detector.embedding_head."
    state = {name.replace(embedding, "track_head.embed_head."): value for name, value in state.items()}
    folder, preset = tmp_path / "server", tmp_path / "tiny.yaml"
    folder.mkdir()
    torch.save({"state_dict": state}, folder / "file.pth")
    name = f"file-{sha256(folder / 'file.pth')[:8]}.pth"
    (folder / "file.pth").rename(folder / name)
    # An untrained network is sure of nothing: everything it finds is tracked.
    tracker = {"init_score": 0.0, "object_score": 0.0}
    preset.write_text(yaml.safe_dump({"model": to_mapping(CONFIG), "tracker": tracker}), "utf-8")
    monkeypatch.setitem(PUBLIC, "seeded", PublicWeights((name,), str(preset), 45, "seeds", "of no value", "none"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_list_has_everything_by_name(seeded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weights"]) == 0
    entries = {text.split()[0]: text for text in capsys.readouterr().out.split("\n\n")}
    assert list(entries) == [*SHIPPED, *PUBLIC]
    for name, text in entries.items():
        for fact in ("Size", "Classes", "Data", "Scores", "Terms", "From"):
            assert re.search(rf"^  {fact}: +\S", text, re.MULTILINE), f"{name}: {fact}"
        assert "see " not in text, f"the card of {name} lacks a row"
    assert "(shipped)" in entries["street"] and "Apache-2.0" in entries["street"]
    assert "482 (aerosol_can, " in entries["qdtrack-lvis"]
    assert "seeded (public; fetched on first use)" in entries["seeded"]
    assert "to start a training from" in entries["faster-rcnn-coco-person"]


def test_fetched_once_it_is_there(seeded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weights", "fetch", "seeded"]) == 0
    path = checkpoints.resolve("seeded")
    assert capsys.readouterr().out == f"seeded: {path}\n"
    assert cli.main(["weights"]) == 0
    assert f"Kept in: {path}" in capsys.readouterr().out
    for file in seeded.iterdir():
        file.unlink()
    assert cli.main(["weights", "fetch", "seeded", "--output", str(tmp_path / "stick" / "copy.safetensors")]) == 0
    assert (tmp_path / "stick" / "copy.safetensors").read_bytes() == path.read_bytes()


def test_what_cannot_be_is_one_line(seeded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weights", "fetch", "seeded", "--output", str(tmp_path / "copy.pth")]) == 2
    assert "expected a name that ends in .safetensors" in capsys.readouterr().err
    assert cli.main(["weights", "fetch", "seeded"]) == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # stands for the end of the disk
    try:
        assert cli.main(["weights", "fetch", "seeded", "--output", str(tmp_path / "copy.safetensors")]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in capsys.readouterr().err
    assert not list(tmp_path.glob("copy*"))


def test_track_takes_the_name(seeded: Path, blob_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "tracks.txt"
    command = ["track", str(blob_folder), "--weights", "seeded", "--output", str(output), "--frames", "1-2"]
    assert cli.main([*command, "--runtime", "torch"]) == 0
    assert len(output.read_text().splitlines()) > 0


def test_export_takes_the_name(seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = []
    # What exporting does is shown in test_export.py; a QDTrack takes ten seconds.
    monkeypatch.setattr(export, "export_onnx", lambda weights, path, *_: exported.append(weights) or path.touch())
    assert cli.main(["export", "seeded", "--output", str(tmp_path / "seeded.onnx")]) == 0
    [weights] = exported
    assert weights.path == checkpoints.resolve("seeded") and weights.config == checkpoints.load("seeded").config


def test_offline_it_says_what_to_do(
    seeded: Path, blob_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", "http://127.0.0.1:9")
    assert cli.main(["track", str(blob_folder), "--weights", "seeded", "--output", str(tmp_path / "tracks.txt")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qdtrack: error: weights 'seeded' cannot be fetched from http://127.0.0.1:9/file-")
    assert "`qdtrack weights fetch seeded --output FILE`" in line
