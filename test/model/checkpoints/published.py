"""Public checkpoints in small, and a server that publishes them, well or badly."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from qdtrack_model.checkpoints.catalogue import PublicWeights
from qdtrack_model.config import QDTrackConfig, to_mapping
from qdtrack_model.networks import QDTrack

CONFIG = QDTrackConfig(
    classes=("pedestrian", "car"), input_size=(64, 96), depth=18, channels=32, head_width=16, embedding_size=8,
    proposals_per_level=50, proposals=60, max_detections=10, padding=(104, 116, 124),
)  # fmt: skip
EMBEDDING = {"mm": "track_head.embed_head.", "sysc21": "roi_head.track_head.", "syscv": "track_head.track_head."}
PREFIXES = {"sysc21": "", "mmdet": ""}


def canonical(seed: int = 0) -> dict[str, Tensor]:
    """Random tensors by the names of this project's network."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(value.shape, generator=generator) + 0.5 for name, value in QDTrack(CONFIG).state_dict().items()
    }


def laid_out(tensors: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """The same tensors as ``layout`` names them, with the counters of batch norms; ``mmdet`` has no embeddings."""
    state = {}
    for name, tensor in tensors.items():
        if name.startswith("embedding_head."):
            if layout in EMBEDDING:
                state[EMBEDDING[layout] + name.removeprefix("embedding_head.")] = tensor
        else:
            state[PREFIXES.get(layout, "detector.") + name] = tensor
    counter = "backbone.bn1.num_batches_tracked"
    return state | {PREFIXES.get(layout, "detector.") + counter: torch.tensor(7)}


def write_preset(path: Path) -> Path:
    """A preset of that small network."""
    path.write_text(yaml.safe_dump({"model": to_mapping(CONFIG), "tracker": {"init_score": 0.9}}), "utf-8")
    return path


def packed(content: Any) -> bytes:
    """What torch writes of it."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def published(content: bytes, preset: Path, **given: Any) -> PublicWeights:
    """An entry of the catalogue for a file with this content, in two places, named by its hash as publishers do."""
    file = f"seeded_20220315-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    places, words = (f"new/{file}", f"old/{file}"), {"trained_on": "seeds", "terms": "none", "scores": "none"}
    return PublicWeights(places=places, preset=str(preset), megabytes=1, **words, **given)


class Mirror:
    """A server of files on this machine, with the faults that a test asks for.

    Attributes:
        files: what it has, by path.
        requests: the path and the range (or "") of every request.
        ranges: whether it knows ranges.
        send: bytes of a body after which it falls silent or, with ``hangs`` unset, closes; None for all.
        hangs: set by the test that lets it go on being silent.
        status, kind: of every answer that is not a 404.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.ranges, self.send, self.status, self.kind = True, None, 200, "application/octet-stream"
        self.send: int | None
        self.patience = threading.Event()
        self.patience.set()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.requests.append((request.path, wanted))
        body = self.files.get(request.path.removeprefix("/"))
        if body is None:
            request.send_error(404)
            return
        first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.ranges else 0
        if wanted and first >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if wanted and self.ranges else self.status)
        request.send_header("Content-Type", self.kind)
        request.send_header("Content-Length", str(len(body) - first))
        request.end_headers()
        request.wfile.write(body[first : None if self.send is None else first + self.send])
        request.wfile.flush()
        self.patience.wait(60)

    def close(self) -> None:
        self.patience.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
