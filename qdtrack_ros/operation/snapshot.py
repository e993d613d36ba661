"""The latest images and what was published for them, kept in memory to be written into a bag for a bug report."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from rclpy.serialization import serialize_message

from qdtrack_model.atomic import atomic_write

MEGABYTE = 1_000_000


class SnapshotError(ValueError):
    """Why there is no snapshot, in one line."""


@dataclass(frozen=True, eq=False)
class Kept:
    """A message of a frame.

    Attributes:
        topic: where it came in or went out, resolved.
        time: when it did [ns since 1970]. It becomes the bag's time, as in a recording: where stamps jump or lie, the
            order of arrival is part of what a bug report has to show. Header stamps are in the messages, unchanged.
        message: the message, or what makes it: few are ever saved.
    """

    topic: str
    time: int
    message: Any | Callable[[], Any]


class Snapshot:
    """Keeps the latest frames of every camera and writes them on request.

    Messages are kept as they were received, no copy is made: what it costs is the memory of compressed images (some
    0.3 MB each at 1080p) or of raw ones (6.2 MB), up to ``megabytes`` for all cameras together. Where that is reached
    before ``frames``, the camera that holds most gives up its oldest.

    One thread may :meth:`keep` while another one saves. Whoever is in the graph can ask for that: nothing is written
    but below ``folder``, by default that of ROS.
    """

    def __init__(self, frames: int = 0, megabytes: float = 0.0, folder: str | Path = "") -> None:
        self._frames, self._limit = frames, megabytes * MEGABYTE
        self._folder = Path(folder).expanduser().absolute() if str(folder) else default_folder()
        self._kept: dict[str, deque[list[Kept]]] = {}
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self._frames > 0

    def limit(self, frames: int, megabytes: float) -> None:
        """Keep ``frames`` frames of each camera (0 for none), and ``megabytes`` in all."""
        with self._lock:
            self._frames, self._limit = frames, megabytes * MEGABYTE
            for camera in self._kept:
                self._trim(camera)

    def keep(self, camera: str, messages: list[Kept]) -> None:
        """Keep the messages of one more frame of ``camera``: the image, and what belongs to it.

        Messages without pictures may be appended to the list later on.
        """
        with self._lock:
            self._kept.setdefault(camera, deque()).append(messages)
            self._sizes[camera] = self._sizes.get(camera, 0) + _size(messages)
            self._trim(camera)

    def clear(self) -> None:
        """Forget all frames."""
        with self._lock:
            self._kept.clear()
            self._sizes.clear()

    def _trim(self, camera: str) -> None:
        while len(self._kept[camera]) > self._frames:
            self._drop(camera)
        while sum(self._sizes.values()) > self._limit:
            self._drop(max(self._sizes, key=lambda one: self._sizes[one]))

    def _drop(self, camera: str) -> None:
        self._sizes[camera] -= _size(self._kept[camera].popleft())

    def save(self, path: str, about: Mapping[str, Any]) -> tuple[Path, str]:
        """Write what is kept into a new bag folder (mcap), all of it or nothing.

        Args:
            path: the folder, as seen from the one of all snapshots, or absolute; "" for one named by the time.
            about: name -> content of YAML files to be put beside the bag's own.

        Returns:
            The folder, and what is in it.

        Raises:
            SnapshotError: nothing is kept, or the folder lies elsewhere, exists already or cannot be written.
        """
        with self._lock:
            frames = {camera: tuple(kept) for camera, kept in self._kept.items() if kept}
        if not frames:
            raise SnapshotError("no image is kept: none came since configure, or the snapshot_* parameters allow none")
        try:
            target = self._target(path)
            from qdtrack_model.data.bags import write_raw  # rosbags is not needed for tracking

            if target.exists():
                raise SnapshotError(f"{target}: is there already; choose another place or remove it")
            with atomic_write(target) as folder:  # rosbag2 names the file in a bag by its folder
                write_raw(folder, _records([message for kept in frames.values() for one in kept for message in one]))
                for name, content in about.items():
                    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
                    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        except ImportError as error:
            raise SnapshotError(f"{error}: pip install rosbags") from None
        except OSError as error:
            raise SnapshotError(f"{path or self._folder}: cannot be written: {error.strerror or error}") from None
        counts = ", ".join(f"{len(kept)} of {camera}" if camera else str(len(kept)) for camera, kept in frames.items())
        return target, f"frames written: {counts}"

    def _target(self, path: str) -> Path:
        """The folder of a new snapshot, links followed.

        Raises:
            SnapshotError: it would not lie below the one of all snapshots.
        """
        if "\0" in path:
            raise SnapshotError(f"{path!r}: not a path")
        name = path or f"snapshot-{datetime.now(timezone.utc):%Y%m%d-%H%M%S-%f}"
        target, folder = (self._folder / name).resolve(), self._folder.resolve()
        if folder not in target.parents:
            raise SnapshotError(f"{path}: expected a place below {folder} (parameter snapshot_folder)")
        return target


def default_folder() -> Path:
    """Where snapshots lie if nobody says where: beside the logs of ROS."""
    return Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser().absolute() / "qdtrack"


def _size(messages: Sequence[Kept]) -> int:
    """Bytes of the pictures; the rest hardly counts."""
    return sum(len(getattr(one.message, "data", ())) for one in messages)


def _records(kept: Sequence[Kept]) -> Iterator[tuple[str, str, int, bytes]]:
    """The messages as :func:`write_raw` takes them; one kept with several frames, a calibration, comes once."""
    seen = set()
    for one in sorted(kept, key=lambda one: one.time):
        if id(one.message) in seen:
            continue
        seen.add(id(one.message))
        message = one.message() if callable(one.message) else one.message
        package = type(message).__module__.partition(".")[0]
        yield one.topic, f"{package}/msg/{type(message).__name__}", one.time, serialize_message(message)
