"""The direction of imports: each part may import only the parts named here, so that inference never needs training,
the tracker needs nothing but NumPy, and ROS stays in one package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VALUES = {"structures", "config", "boxes"}
INFERENCE = VALUES | {"networks", "tensors", "presets", "conversion", "checkpoints", "tracking", "runtimes", "pipeline"}
FRONT = INFERENCE | {
    "arguments", "camera_model", "data", "depth", "encodings", "evaluation", "image_plane", "overlay", "video",
}  # fmt: skip

# Part of qdtrack_model -> the parts that it may import. A part is a module or a folder directly below the package.
ALLOWED: dict[str, set[str]] = {
    "structures": set(),
    "mappings": set(),
    "config": {"mappings"},
    "arguments": set(),
    "boxes": {"structures"},
    "image_headers": set(),
    "encodings": {"structures", "image_headers"},
    "camera_model": {"structures", "encodings"},
    "depth": {"structures", "encodings", "camera_model"},
    "losses": set(),
    "networks": VALUES,
    "tracking": VALUES,
    "tensors": set(),
    "presets": VALUES,
    "conversion": VALUES | {"networks", "tensors"},
    "checkpoints": VALUES | {"networks", "tensors", "presets", "conversion"},
    "build_engine": FRONT - {"networks"},
    "convert": FRONT - {"networks"},
    "runtimes": VALUES | {"networks", "checkpoints"},
    "pipeline": INFERENCE - {"networks"},
    "data": VALUES | {"arguments", "encodings"},
    "evaluation": VALUES | {"arguments", "data"},
    "overlay": VALUES,
    "image_plane": {"structures"},
    "video": VALUES,
    "track": FRONT - {"networks"},
    "export": FRONT - {"networks"},
    "training": FRONT | {"losses"},
    "cli": FRONT | {"track", "convert", "build_engine", "export", "training"},
    "qdtrack_ros": FRONT - {"networks"},
}
NUMPY_ONLY = {"tracking", "structures", "boxes"}
ROS_MODULES = {
    "ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs", "foxglove_msgs", "geometry_msgs",
    "launch", "launch_ros", "lifecycle_msgs", "qdtrack", "rcl_interfaces", "rclpy", "sensor_msgs", "std_msgs",
    "std_srvs", "vision_msgs", "visualization_msgs",
}  # fmt: skip


def imported_modules(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of everything that the file ``path`` (module ``module``) imports, wherever in
    the file; of ``from a import b`` both ``a`` and ``a.b``, since ``b`` may be a module."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            yield node.lineno, source
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def part_of(module: str) -> str:
    """Name the part a module belongs to: ``qdtrack_ros``, or what stands after ``qdtrack_model``; "" for neither."""
    names = module.split(".")
    if names[0] == "qdtrack_ros":
        return "qdtrack_ros"
    return names[1] if names[0] == "qdtrack_model" and len(names) > 1 else ""


def complaint(part: str, imported: str, known: set[str]) -> str:
    """Say what is wrong with ``part`` importing the module ``imported``; "" where nothing is.

    ``known`` are the parts that exist: a name imported from the package itself, such as its version, is none of them.
    """
    top = imported.split(".")[0]
    target = part_of(imported)
    if top in ROS_MODULES and part != "qdtrack_ros":
        return f"imports {top}: only qdtrack_ros knows ROS"
    if target == "qdtrack_ros" and part != "qdtrack_ros":
        return "imports qdtrack_ros: the model knows no ROS"
    if target in known and target != part and target not in ALLOWED[part]:
        return f"imports {imported}: {part} may import {', '.join(sorted(ALLOWED[part])) or 'no other part'}"
    outside = top not in sys.stdlib_module_names and top not in ("numpy", "qdtrack_model", "qdtrack_ros")
    if part in NUMPY_ONLY and outside:
        return f"imports {top}: {part} needs nothing but NumPy"
    return ""


def violations(root: Path) -> list[str]:
    """Every import below ``root`` against the direction, as ``file:line: what is wrong``; sorted, each once."""
    modules = {}
    for path in sorted([*root.glob("qdtrack_model/**/*.py"), *root.glob("qdtrack_ros/**/*.py")]):
        names = path.relative_to(root).with_suffix("").parts
        modules[path] = ".".join(names[:-1] if names[-1] == "__init__" else names)
    known = {part for part in map(part_of, modules.values()) if part}
    found = {f"qdtrack_model/{part}: a new part: say in ALLOWED what it may import" for part in known - ALLOWED.keys()}
    for path, module in modules.items():
        part = part_of(module)
        if part not in ALLOWED:
            continue
        for line, imported in imported_modules(path, module):
            if wrong := complaint(part, imported, known):
                found.add(f"{path.relative_to(root)}:{line}: {wrong}")
    return sorted(found)


def test_every_import_keeps_the_direction() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_the_table_names_no_part_that_is_gone() -> None:
    parts = {path.stem for path in (ROOT / "qdtrack_model").iterdir()} | {"qdtrack_ros"}
    assert ALLOWED.keys() <= parts


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("qdtrack_model/tracking/memory.py", "import torch", "tracking needs nothing but NumPy"),
        ("qdtrack_model/tracking/memory.py", "from qdtrack_model import pipeline", "tracking may import"),
        ("qdtrack_model/tracking/memory.py", "from ..networks import csp", "tracking may import"),
        ("qdtrack_model/tracking/memory.py", "def f():\n    from .. import losses", "tracking may import"),
        ("qdtrack_model/pipeline.py", "from qdtrack_model.training.loop import train", "pipeline may import"),
        ("qdtrack_model/runtimes/__init__.py", "from ..training import loop", "runtimes may import"),
        ("qdtrack_model/runtimes/__init__.py", "import qdtrack_model.pipeline", "runtimes may import"),
        ("qdtrack_model/data/bags.py", "from rclpy.serialization import serialize_message", "only qdtrack_ros knows"),
        ("qdtrack_model/overlay.py", "from qdtrack_ros import conversions", "the model knows no ROS"),
        ("qdtrack_ros/node.py", "from qdtrack_model import losses", "qdtrack_ros may import"),
        ("qdtrack_model/novelty.py", "import math", "a new part"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, line: str, expected: str) -> None:
    for name in ("pipeline", "losses/__init__", "networks/__init__", "training/__init__"):
        neighbour = tmp_path / "qdtrack_model" / f"{name}.py"
        neighbour.parent.mkdir(parents=True, exist_ok=True)
        neighbour.touch()
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line + "\n", encoding="utf-8")
    found = violations(tmp_path)
    assert found
    assert all(expected in text and file.removesuffix(".py") in text for text in found)


def test_right_imports_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "qdtrack_model" / "tracking" / "memory.py"
    path.parent.mkdir(parents=True)
    (tmp_path / "qdtrack_model" / "boxes.py").touch()
    path.write_text(
        "import math\nimport numpy as np\nfrom qdtrack_model import __version__\nfrom ..boxes import iou\n", "utf-8"
    )
    assert violations(tmp_path) == []
