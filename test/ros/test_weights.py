"""Public weights by name in the node: fetched while it is configured, told in its log, refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

import torch
import yaml
from graph import spinning
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter

from qdtrack_model.cache import sha256
from qdtrack_model.checkpoints import PUBLIC
from qdtrack_model.checkpoints.catalogue import PublicWeights
from qdtrack_model.config import QDTrackConfig, to_mapping
from qdtrack_model.networks import QDTrack
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.replay.process import NodeError, NodeProcess

CONFIG = QDTrackConfig(
    classes=("pedestrian",), input_size=(64, 96), depth=18, channels=32, head_width=16, embedding_size=8,
    proposals_per_level=20, proposals=20, max_detections=5,
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a server in the place of the publisher's."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("QDTRACK_WEIGHTS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_node_fetches_what_it_is_to_load(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {f"detector.{name}": value for name, value in QDTrack(CONFIG).state_dict().items()}
    embedding = "detector.embedding_head."
    state = {name.replace(embedding, "track_head.embed_head."): value for name, value in state.items()}
    torch.save({"state_dict": state}, server / "file.pth")
    name = f"file-{sha256(server / 'file.pth')[:8]}.pth"
    (server / "file.pth").rename(server / name)
    preset = tmp_path / "tiny.yaml"
    preset.write_text(yaml.safe_dump({"model": to_mapping(CONFIG), "tracker": {}}), "utf-8")
    monkeypatch.setitem(PUBLIC, "seeded", PublicWeights((name,), str(preset), 45, "seeds", "none", "none"))
    given = {"weights": "seeded", "runtime": "torch", "autostart": False}
    node = TrackerNode(parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    node.close()
    node.destroy_node()


def test_its_log_tells_what_happens_and_what_to_do(server: Path, tmp_path: Path) -> None:
    place = PUBLIC["qdtrack-mot17"].places[0]
    (server / place).parent.mkdir(parents=True)
    (server / place).write_bytes(b"something else")
    operator = Node("operator")
    with (
        spinning(operator),
        NodeProcess(operator, "/fetching", {"weights": "qdtrack-mot17"}, tmp_path / "log") as process,
        pytest.raises(NodeError, match=r"could not configure:(.|\n)*not the published file"),
    ):
        process.change_state("configure", 60)
    log = (tmp_path / "log").read_text()
    assert "[INFO]" in log and "weights qdtrack-mot17: fetching http://127.0.0.1:" in log
    assert "`qdtrack weights fetch qdtrack-mot17 --output FILE`" in log
    assert "Traceback" not in log
