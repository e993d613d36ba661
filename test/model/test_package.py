"""What the packages say about themselves: ROS and pip must not drift apart, and both must carry every file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
INTERFACES = {"rosidl_interface_packages"}
PACKAGES = [ROOT, *sorted((ROOT / "interfaces").iterdir())]


def manifest(folder: Path) -> ElementTree.Element:
    return ElementTree.parse(folder / "package.xml").getroot()


def dependencies(package: ElementTree.Element) -> set[str]:
    return {str(node.text) for node in package if node.tag.endswith("depend")}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_names_agree(project: dict) -> None:
    package = manifest(ROOT)
    assert package.findtext("name") == project["name"] == "qdtrack"
    assert package.findtext("license") == project["license"] == "Apache-2.0"


def test_the_version_is_written_once() -> None:
    version = subprocess.run([sys.executable, "setup.py", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert version.stdout.split()[-1] == manifest(ROOT).findtext("version"), version.stderr
    holding = [path.name for path in (ROOT / "pyproject.toml", ROOT / "setup.py") if version.stdout in path.read_text()]
    assert not holding


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_manifest_has_what_ros_asks_for(folder: Path) -> None:
    package = manifest(folder)
    assert package.get("format") == "3"
    for tag in ("name", "version", "description", "maintainer", "license"):
        assert (package.findtext(tag) or "").strip(), f"<{tag}> is empty"
    assert {node.text for node in package.findall("member_of_group")} == INTERFACES
    assert package.findtext("export/build_type") == "ament_cmake"


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_every_message_is_built_and_its_packages_are_named(folder: Path) -> None:
    recipe = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
    files = [*sorted(folder.glob("msg/*.msg")), *sorted(folder.glob("srv/*.srv"))]
    assert re.findall(r"^ *((?:msg|srv)/\w+\.\w+)$", recipe, re.MULTILINE) == [
        str(path.relative_to(folder)) for path in files
    ]
    used = set()
    for path in files:
        fields = [line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
        used |= {match[1] for field in fields if (match := re.match(r"(\w+)/\w+", field))}
    assert used - {folder.name} <= dependencies(manifest(folder))


def test_every_field_of_our_messages_is_explained() -> None:
    for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]:
        for block in re.split(r"\n\n|\n---\n", path.read_text(encoding="utf-8").strip()):
            assert block.startswith("#"), f"{path.name}: no comment on {block!r}"


# rosdep's keys of modules that go by other names, and what is used otherwise than by an import
KEYS = {
    "cv2": "python3-opencv",
    "onnxruntime": "python3-onnxruntime-pip",
    "rosbags": "python3-rosbags-pip",
    "tf2_ros": "tf2_ros_py",
    "torch": "python3-pytorch-pip",
    "yaml": "python3-yaml",
}
BUILT_WITH = {"ament_cmake", "ament_cmake_python", "rosidl_default_generators", "rosidl_default_runtime"}
COMMANDS = {"ros2bag", "ros2launch"}  # `ros2 bag` in replay.launch.py, `ros2 launch`
OPTIONAL = {"ffmpeg_image_transport_msgs"}  # the node goes without it, and distributions rarely have it
PIP_ALONE = {  # no key of rosdep's; CONTRIBUTING and README name what a robot needs of them
    "av", "cuda", "foxglove_schemas_protobuf", "fsspec", "google", "lightning_fabric", "mcap", "mcap_protobuf",
    "motmetrics", "onnx", "onnx_ir", "onnxscript", "openvino", "optuna", "plotly", "pyarrow", "pycocotools", "ray",
    "rerun", "safetensors", "sklearn", "triton",
}  # fmt: skip


def imported(*folders: str) -> set[str]:
    """The packages that modules in these folders import, the standard library's and ours left out."""
    found = set()
    for path in [path for folder in folders for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"qdtrack", "qdtrack_model", "qdtrack_ros"}


def test_the_manifest_names_what_is_used_and_nothing_else() -> None:
    package = manifest(ROOT)
    modules = imported("qdtrack_model", "qdtrack_ros", "launch") - PIP_ALONE - OPTIONAL
    known = dependencies(package)
    used = {KEYS.get(module, f"python3-{module}" if f"python3-{module}" in known else module) for module in modules}
    tests = {str(node.text) for node in package.findall("test_depend")}
    assert used | BUILT_WITH | COMMANDS == known - tests
    modules = imported("test")
    assert tests - {"ament_cmake_pytest"} <= {f"python3-{module}" for module in modules} | modules


def test_the_readme_installs_what_rosdep_does_not_know() -> None:
    commands = (ROOT / "README.md").read_text(encoding="utf-8").split("## On a vehicle")[1].split("```")[1].splitlines()
    [environment] = [number for number, line in enumerate(commands) if "PIP_BREAK_SYSTEM_PACKAGES=1" in line]
    [pip] = [number for number, line in enumerate(commands) if line.startswith("pip install")]
    assert environment < pip  # PEP 668
    named = set(commands[pip].partition("#")[0].split()[3:])
    assert named == {"onnx", "onnxscript", "openvino", "safetensors"} <= PIP_ALONE


def test_pip_packages_hold_every_module_and_the_weights(project: dict) -> None:
    from setuptools import find_packages

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = set(find_packages(str(ROOT), include=settings["packages"]["find"]["include"]))
    folders = {path.parent for path in [*ROOT.glob("qdtrack_model/**/*.py"), *ROOT.glob("qdtrack_ros/**/*.py")]}
    assert {".".join(folder.relative_to(ROOT).parts) for folder in folders} == found
    patterns = settings["package-data"]["qdtrack_model"]
    data = {
        path for path in (ROOT / "qdtrack_model").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    packed = {path for pattern in patterns for path in (ROOT / "qdtrack_model").glob(pattern)}
    assert data <= packed
    held = {
        (folder, path)
        for folder, patterns in settings["data-files"].items()
        for pattern in patterns
        for path in ROOT.glob(pattern)
    }
    configs = ROOT.glob("config/**/*.yaml")  # each where colcon puts it, too, and presets are looked up
    assert held == {(f"share/qdtrack/{path.parent.relative_to(ROOT)}", path) for path in configs}
    assert project["scripts"] == {"qdtrack": "qdtrack_model.cli:main"}


@pytest.mark.parametrize(
    ("name", "place", "start"),
    [
        ("tracker_node", "lib/${PROJECT_NAME}", "from qdtrack_ros.node import main"),
        ("qdtrack", "bin", "from qdtrack_model.cli import main"),
    ],
)
def test_colcon_installs_the_programs(name: str, place: str, start: str) -> None:
    program = ROOT / "tools" / name
    assert program.stat().st_mode & 0o111, f"tools/{name} is not executable"
    assert start in program.read_text(encoding="utf-8")
    assert f"install(PROGRAMS tools/{name} DESTINATION {place})" in (ROOT / "CMakeLists.txt").read_text()
