"""A launch file run in a process of its own.

Run as a program it does what `ros2 launch FILE NAME:=VALUE ...` does.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graph import PATIENCE

ROOT = Path(__file__).parents[2]


class Launched:
    """A launch file under way; what it and its processes print is in ``log``."""

    def __init__(self, name: str, log: Path, arguments: dict[str, str]) -> None:
        self.log = log
        command = [sys.executable, __file__, str(ROOT / "launch" / name), *(f"{k}:={v}" for k, v in arguments.items())]
        with log.open("wb") as output:
            # A session of its own, in which Ctrl-C reaches all of its processes as in a terminal.
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "ROS_LOG_DIR": str(log.parent), "PYTHONUNBUFFERED": "1"},
            )

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def nodes(self) -> list[int]:
        """Process ids of the trackers, in the order of their starts."""
        return [
            int(found) for found in re.findall(r"tracker_node-\d+\]: process started with pid \[(\d+)\]", self.text())
        ]

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(PATIENCE)


@contextmanager
def launched(name: str, log: Path, **arguments: str) -> Iterator[Launched]:
    """Run a launch file of ours; nothing of it is left afterwards."""
    run = Launched(name, log, arguments)
    try:
        yield run
    except AssertionError as error:
        raise AssertionError(f"{error}\n{run.text()}") from error
    finally:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> int:
    from launch import LaunchDescription, LaunchService
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    path, *arguments = sys.argv[1:]
    pairs = [tuple(argument.split(":=", 1)) for argument in arguments]
    service = LaunchService()
    file = IncludeLaunchDescription(PythonLaunchDescriptionSource(path), launch_arguments=pairs)
    service.include_launch_description(LaunchDescription([file]))
    return service.run()


if __name__ == "__main__":
    sys.exit(main())
