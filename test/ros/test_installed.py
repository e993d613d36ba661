"""What is installed, as launch files and `ros2 run` find it: the program with shipped weights, and its files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from ament_index_python.packages import get_package_prefix
from drivers import Drivers
from graph import PATIENCE, spinning, wait_until

from qdtrack_ros.launch_arguments import LAYOUTS, enclave, node_parameters, remappings

ROOT = Path(__file__).parents[2]
PREFIX = Path(get_package_prefix("qdtrack"))
SHARE = PREFIX / "share" / "qdtrack"


def test_every_file_that_launch_files_name_is_installed() -> None:
    named = {f"config/node/{layout}.rviz" for layout in LAYOUTS}
    for path in ROOT.glob("launch/*.launch.py"):
        named |= {f"launch/{path.name}"}
        named |= {f"config/node/{name}" for name in re.findall(r'params_file\("(.+?)"\)', path.read_text())}
    assert len(named) > 8
    missing = sorted(name for name in named if not (SHARE / name).is_file())
    assert not missing, f"not in {SHARE}: {', '.join(missing)}; run `make setup`"


def command(params_file: str, values: Mapping[str, str], cameras: Sequence[str]) -> list[str]:
    """The command line that launch_ros makes of the action in `qdtrack_ros.launching`."""
    line = [str(PREFIX / "lib/qdtrack/tracker_node"), "--ros-args"]
    line += ["--log-level", values["log_level"], "--enclave", enclave(values)]
    line += ["--ros-args", "-r", "__node:=tracker", "-r", f"__ns:=/{values['namespace']}"]
    line += ["--params-file", str(SHARE / "config/node" / params_file)]
    for name, value in node_parameters(values, cameras).items():
        line += ["-p", f"{name}:={str(value).lower()}"]
    for name, topic in remappings(values, cameras).items():
        line += ["-r", f"{name}:={topic}"]
    return line


@pytest.mark.parametrize(
    ("params_file", "image", "cameras"),
    [("tracker.yaml", "/front/image_raw", []), ("multi_camera.yaml", "/{camera}/image_raw", ["front", "left"])],
)
def test_the_installed_program_tracks(params_file: str, image: str, cameras: list[str], tmp_path: Path) -> None:
    values = {"image": image, "namespace": "perception", "log_level": "info"}
    prefixes = [f"{camera}/" for camera in cameras] or [""]
    images = [image.replace("{camera}", camera) for camera in cameras] or [image]
    drivers = Drivers(images, [f"/perception/tracker/{prefix}tracks" for prefix in prefixes])
    log = tmp_path / "log"
    # It begins with `/usr/bin/env python3`, which is the right one where ROS or `tools/env.sh` is sourced.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with spinning(drivers.node), log.open("wb") as output:
        line = command(params_file, values, cameras)
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            wait_until(lambda: "active: waiting for images" in log.read_text(), "the node to be active")
            drivers.wait()
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
