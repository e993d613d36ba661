"""The node's services besides those of its lifecycle: ``~/reset`` and ``~/save_snapshot``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from qdtrack.srv import Reset, SaveSnapshot
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from qdtrack_ros.operation.snapshot import Snapshot
from qdtrack_ros.reason import reason

_PATIENCE = 3.0  # seconds


class Resettable(Protocol):
    """A camera whose tracks can be forgotten."""

    name: str

    def reset(self) -> None:
        """Forget all objects."""


class Services:
    """Answers in the executor's thread, in every state; snapshots are written in a thread of their own.

    Args:
        node: owner of the services.
        cameras: gives the cameras there are; none while unconfigured.
        snapshot: what is kept.
        about: gives what is to be put beside a bag, see :meth:`Snapshot.save`.
    """

    def __init__(
        self,
        node: Node,
        cameras: Callable[[], Sequence[Resettable]],
        snapshot: Snapshot,
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._node = node
        self._cameras = cameras
        self._snapshot = snapshot
        self._about = about
        self._writer: threading.Thread | None = None
        self._written: Future[None] | None = None
        node.create_service(Reset, "~/reset", self._on_reset)
        # The node's own group runs nothing else until a callback is done, also while that one only waits.
        apart = ReentrantCallbackGroup()
        node.create_service(SaveSnapshot, "~/save_snapshot", self._on_save_snapshot, callback_group=apart)

    def close(self) -> None:
        """Wait for the snapshot in hand to be written, as long as a disk that works may take."""
        if self._writer is not None:
            self._writer.join(_PATIENCE)
            if self._writer.is_alive():
                self._node.get_logger().error(f"a snapshot is not written after {_PATIENCE:g} s: left to itself")

    def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        known = self._cameras()
        chosen = [camera for camera in known if request.camera in ("", camera.name)]
        for camera in chosen:
            camera.reset()
        response.success = bool(chosen)
        if not known:
            response.message = "the node is not configured: there are no tracks"
        elif not chosen:
            names = ", ".join(camera.name for camera in known) or "one without a name (pass '')"
            response.message = f"no camera {request.camera!r}; there are: {names}"
        else:
            response.message = f"tracks forgotten: {', '.join(camera.name for camera in chosen) or 'the only camera'}"
        return response

    async def _on_save_snapshot(
        self, request: SaveSnapshot.Request, response: SaveSnapshot.Response
    ) -> SaveSnapshot.Response:
        """Answers when the bag is there; meanwhile the executor goes on."""
        if self._written is not None and not self._written.done():
            response.message = "a snapshot is being written: ask again when it is done"
            return response
        self._written = done = Future(executor=self._node.executor)

        def write() -> None:
            log = self._node.get_logger()
            try:
                path, response.message = self._snapshot.save(request.path, self._about())
                response.path, response.success = str(path), True
                log.info(f"snapshot {path}: {response.message}")
            except Exception as error:  # whatever it is, somebody waits for the answer, and the node goes on
                response.message = reason(error)
                log.error(f"no snapshot: {response.message}")
            done.set_result(None)
            executor = self._node.executor
            if executor is not None:
                executor.wake()

        self._writer = threading.Thread(target=write, name="qdtrack-snapshot", daemon=True)
        self._writer.start()
        await done
        return response
