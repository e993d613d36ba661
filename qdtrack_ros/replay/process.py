"""The tracker node as a process of its own, driven through its lifecycle services from another node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

_TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


class NodeError(RuntimeError):
    """The node's process ended or refused a transition; the text holds its last log lines."""


class NodeProcess:
    """Starts ``python -m qdtrack_ros.node`` in a namespace and ends it on leaving the context, whatever happened.

    Args:
        node: a node of this process that is being spun in another thread; calls the services.
        namespace: namespace of the tracker, for example ``/demo``.
        parameters: start values.
        log: file that takes what the node prints.
        program: what Python is to run.
    """

    def __init__(
        self,
        node: Node,
        namespace: str,
        parameters: Mapping[str, Any],
        log: Path,
        program: Sequence[str] = ("-m", "qdtrack_ros.node"),
    ) -> None:
        self._program = program
        self._node, self._namespace, self._log = node, namespace, log
        self._parameters = {**parameters, "autostart": False}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        command = [sys.executable, *self._program, "--ros-args", "-r", f"__ns:={self._namespace}"]
        for name, value in self._parameters.items():
            # Quoted, so that a weights file called 123 stays text.
            text = f"'{value}'" if isinstance(value, str) else str(value).lower()
            command += ["-p", f"{name}:={text}"]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "RCUTILS_COLORIZED_OUTPUT": "0", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for the parent, which then ends the node itself
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        for attempt in (signal.SIGINT, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(attempt)
            try:
                process.wait(10)
                return
            except subprocess.TimeoutExpired:
                continue

    @property
    def pid(self) -> int:
        """Number of the process.

        Raises:
            NodeError: it was not started.
        """
        if self._process is None:
            raise NodeError("the node was not started")
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    def ended(self, timeout: float) -> int:
        """Wait for the process to end by itself; its exit status.

        Raises:
            NodeError: it did not end within so many seconds.
        """
        if self._process is None:
            raise NodeError("the node was not started")
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NodeError(f"the node did not end within {timeout:.0f} s:\n{self.last_lines()}") from None

    def change_state(self, transition: str, timeout: float = 180.0) -> None:
        """Ask for a transition and wait until it is done.

        Raises:
            NodeError: the node ended, refused, or did not answer within ``timeout`` seconds.
        """
        client = self._node.create_client(ChangeState, f"{self._namespace}/tracker/change_state")
        watcher = self._node.create_client(GetState, f"{self._namespace}/tracker/get_state")
        try:
            self.wait(client.service_is_ready, f"be there for {transition}", timeout)
            # DDS loses the answer to a client that the node has not discovered yet. Clients are discovered in the
            # order of their making: when the later one has had an answer, the earlier one's will come too.
            state, asked = watcher.call_async(GetState.Request()), time.monotonic()

            def known() -> bool:
                nonlocal state, asked
                if time.monotonic() > asked + 1.0:
                    state, asked = watcher.call_async(GetState.Request()), time.monotonic()
                return state.done()

            self.wait(known, "answer", timeout)
            request = ChangeState.Request()
            request.transition.id = _TRANSITIONS[transition]
            answer = client.call_async(request)
            self.wait(answer.done, transition, timeout)
            if not answer.result().success:
                raise NodeError(f"the node could not {transition}:\n{self.last_lines()}")
        finally:
            self._node.destroy_client(client)
            self._node.destroy_client(watcher)

    def wait(self, condition: Callable[[], bool], aim: str, timeout: float) -> None:
        """Wait until ``condition()`` holds.

        Raises:
            NodeError: the node ended, or ``timeout`` seconds went by.
        """
        end = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > end:
                raise NodeError(f"the node did not {aim} within {timeout:.0f} s:\n{self.last_lines()}")
            time.sleep(0.02)

    def check(self) -> None:
        """Raise NodeError if the process has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise NodeError(f"the node ended with status {self._process.returncode}:\n{self.last_lines()}")

    def last_lines(self, count: int = 12) -> str:
        """What the node printed last."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-count:]) or "  (it printed nothing)"
