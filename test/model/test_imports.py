"""The direction of imports: each part may import only the parts named here, so that inference never needs training,
the tracker needs nothing but NumPy, and ROS stays in one package."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VALUES = {"structures", "config", "boxes", "atomic"}
INFERENCE = VALUES | {"fitting", "cache", "checkpoints", "tracking", "runtimes", "pipeline"}
SENSORS = {
    "sensors",
    *(
        f"sensors.{name}"
        for name in (
            "attention",
            "camera_model",
            "depth",
            "encodings",
            "ground",
            "messages",
            "poses",
            "registration",
            "video",
        )
    ),
}
FRONT = (
    INFERENCE
    | SENSORS
    | {"data", "drawing", "evaluation", "fleet", "given_detections", "replay", "synthetic", "viewing"}
)
FRONT |= {"tracker_config"}

# Part of qdtrack_model -> the parts that it may import. A part is a module or a folder directly below the package, or a
# module in such a folder that may import more than its neighbours, or less. The package itself is the face that users
# see: it may import what it shows, and nothing may import it.
ALLOWED: dict[str, set[str]] = {
    "qdtrack_model": INFERENCE | {"data"},
    "structures": set(),
    "mappings": set(),
    "tracker_config": {"mappings"},
    "cache": {"atomic"},
    "config": {"mappings", "tracker_config"},
    "boxes": {"structures"},
    "fitting": VALUES,
    "atomic": set(),
    "sensors": {"structures"},
    "sensors.attention": {"structures", "config"},
    "sensors.poses": {"structures"},
    "sensors.registration": {"structures"},
    "sensors.messages": set(),
    "sensors.image_headers": set(),
    "sensors.encodings": {"structures", "sensors.messages", "sensors.image_headers"},
    "sensors.nal_units": set(),
    "sensors.video": {"structures", "sensors.messages", "sensors.nal_units"},
    "sensors.camera_model": {"structures", "sensors.messages"},
    "sensors.depth": {"structures", "sensors.messages", "sensors.encodings", "sensors.camera_model", "sensors.poses"},
    "sensors.ground": {"structures", "sensors.camera_model", "sensors.depth", "sensors.poses"},
    "drawing": {"structures", "atomic"},
    "losses": set(),
    "networks": {"config"},
    "tracking": VALUES | {"tracking.assignment"},
    "tracking.assignment": {"structures"},
    "checkpoints": VALUES | {"cache", "networks"},
    "runtimes": VALUES | {"cache", "checkpoints", "fitting", "networks"},
    "pipeline": (INFERENCE | {"sensors.registration"}) - {"pipeline"},
    "validation": INFERENCE | {"data", "evaluation"},
    "object_embeddings": INFERENCE | {"data"},
    "given_detections": INFERENCE | {"data"},
    "fleet": {"atomic"},
    "viewing": VALUES | {"data", "drawing", "replay"},
    "replay": INFERENCE | SENSORS | {"data", "drawing", "evaluation", "fleet", "tracker_config"},
    "study": INFERENCE | {"data", "evaluation", "networks", "object_embeddings", "synthetic", "training"},
    "data": VALUES | {"sensors.encodings", "sensors.image_headers", "sensors.messages", "sensors.video"},
    "synthetic": VALUES | {"data"},
    "evaluation": VALUES | {"data"},
    "training": VALUES | {"networks", "losses", "data", "evaluation", "checkpoints"},
    "commands": FRONT,
    "commands.embeddings": FRONT | {"commands", "object_embeddings", "training"},
    "commands.study": FRONT | {"commands", "study"},
    "commands.train": FRONT | {"commands", "networks", "training", "validation"},
    "commands.validate": FRONT | {"commands", "training", "validation"},
    "cli": {"commands"},
}
# Part of qdtrack_ros -> the parts of it that it may import. Each may also import what a front of the model may.
ROS_ALLOWED: dict[str, set[str]] = {
    "logs": set(),
    "reason": set(),
    "throttle": set(),
    "tuning": set(),
    "worker": set(),
    "specifications": set(),
    "parameters": {"specifications"},
    "launch_arguments": set(),
    "launching": {"launch_arguments"},
    "input": set(),
    "output": {"input", "throttle"},
    "operation": {"input", "parameters", "reason"},
    "transitions": {"reason"},
    "network": {"parameters", "reason", "transitions"},
    "processing": {"camera_tracker", "network", "output", "reason", "throttle", "worker"},
    "world": {"input", "parameters"},
    "showing": {"input", "output", "operation", "reason", "worker", "world"},
    "camera_tracker": {
        "input",
        "output",
        "operation",
        "parameters",
        "reason",
        "showing",
        "throttle",
        "worker",
        "world",
    },
    "node": {
        "camera_tracker",
        "output",
        "logs",
        "network",
        "operation",
        "parameters",
        "processing",
        "reason",
        "throttle",
        "transitions",
        "tuning",
        "worker",
        "world",
    },
    "replay": {"input", "output"},
    "demo": {"replay"},
}
ALLOWED.update({
    f"qdtrack_ros.{part}": FRONT | {f"qdtrack_ros.{other}" for other in others}
    for part, others in ROS_ALLOWED.items()
})  # fmt: skip
for part in ("qdtrack_ros.replay", "qdtrack_ros.demo"):
    ALLOWED[part] |= {"commands"}  # `qdtrack replay` is one command, whose live half needs ROS
NUMPY_ONLY = {"tracking", "structures", "boxes"}
ROS_MODULES = {
    "ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs", "ffmpeg_image_transport_msgs",
    "foxglove_msgs", "geometry_msgs",
    "launch", "launch_ros", "lifecycle_msgs", "qdtrack", "rcl_interfaces", "rclpy", "sensor_msgs", "std_msgs",
    "std_srvs", "tf2_ros", "vision_msgs", "visualization_msgs",
}  # fmt: skip


def imported_modules(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of everything that the file ``path`` (module ``module``) imports, wherever in
    the file; of ``from a import b`` it is ``a.b``, whether ``b`` is a module or not."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def part_of(module: str) -> str:
    """Name the part a module belongs to: what stands after ``qdtrack_model``, or ``qdtrack_ros`` and what stands after
    it; ``qdtrack_model`` is one itself; "" for everything else."""
    package, *names = module.split(".")
    if package not in ("qdtrack_model", "qdtrack_ros") or not names:
        return package if package == "qdtrack_model" else ""
    if package == "qdtrack_ros":
        return f"{package}.{names[0]}"
    own = ".".join(names[:2])
    return own if own in ALLOWED else names[0]


def complaint(part: str, imported: str, known: set[str]) -> str:
    """Say what is wrong with ``part`` importing the module ``imported``; "" where nothing is.

    ``known`` are the parts that exist; a name that is none of them is one that the package itself shows to users.
    """
    top = imported.split(".")[0]
    target = part_of(imported)
    if imported == f"qdtrack_model.{target}" and target not in known:
        target = "qdtrack_model"
    if top in ROS_MODULES and not part.startswith("qdtrack_ros"):
        return f"imports {top}: only qdtrack_ros knows ROS"
    if top == "qdtrack_ros" and not part.startswith("qdtrack_ros"):
        return "imports qdtrack_ros: the model knows no ROS"
    if target in known and target != part and target not in ALLOWED[part]:
        return f"imports {imported}: {part} may import {', '.join(sorted(ALLOWED[part])) or 'no other part'}"
    outside = top not in sys.stdlib_module_names and top not in ("numpy", "qdtrack_model", "qdtrack_ros")
    if part in NUMPY_ONLY and outside:
        return f"imports {top}: {part} needs nothing but NumPy"
    return ""


def modules_below(root: Path) -> dict[Path, str]:
    """The files of both packages below ``root`` and the names of their modules."""
    modules = {}
    for path in sorted([*root.glob("qdtrack_model/**/*.py"), *root.glob("qdtrack_ros/**/*.py")]):
        names = path.relative_to(root).with_suffix("").parts
        modules[path] = ".".join(names[:-1] if names[-1] == "__init__" else names)
    return modules


def violations(root: Path) -> list[str]:
    """Every import below ``root`` against the direction, as ``file:line: what is wrong``; sorted, each once."""
    modules = modules_below(root)
    known = {part for part in map(part_of, modules.values()) if part}
    new = known - ALLOWED.keys()
    found = {
        f"{path.relative_to(root)}: a new part: say here what it may import"
        for path, module in modules.items()
        if part_of(module) in new
    }
    for path, module in modules.items():
        part = part_of(module)
        if part not in ALLOWED:
            continue
        for line, imported in imported_modules(path, module):
            if wrong := complaint(part, imported, known):
                found.add(f"{path.relative_to(root)}:{line}: {wrong}")
    return sorted(found)


def circle(root: Path) -> list[str]:
    """Modules below ``root`` that import each other in a circle, wherever in their files; empty where none do."""
    modules = modules_below(root)
    names = set(modules.values())
    imports: dict[str, set[str]] = {}
    for path, module in modules.items():
        imported = {name for _, name in imported_modules(path, module)}
        # What is imported from a module is no module itself.
        imports[module] = {name if name in names else name.rpartition(".")[0] for name in imported} & names - {module}
    try:
        list(TopologicalSorter(imports).static_order())
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def test_every_import_keeps_the_direction() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_the_table_names_no_part_that_is_gone() -> None:
    assert ALLOWED.keys() <= {part_of(module) for module in modules_below(ROOT).values()}


def test_the_table_has_no_circle() -> None:
    TopologicalSorter({part: allowed - {part} for part, allowed in ALLOWED.items()}).prepare()


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(ROOT) == []


def test_files_and_folders_stay_small() -> None:
    """At most 400 lines a file; at most 15 modules a folder, but where each is one of a kind."""
    folders: Counter[Path] = Counter()
    for path in modules_below(ROOT):
        name = path.relative_to(ROOT)
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{name} has more than 400 lines: divide it"
        folders[name.parent] += path.name != "__init__.py"
    many = {Path("qdtrack_model/commands"), Path("qdtrack_model/data/readers")}
    crowded = {str(folder): count for folder, count in folders.items() if count > 15 and folder not in many}
    assert not crowded, f"more than 15 modules: {crowded}"


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
        ("qdtrack_model/drawing/overlay.py", "from qdtrack_ros import conversions", "the model knows no ROS"),
        ("qdtrack_ros/node.py", "from qdtrack_model import losses", "qdtrack_ros.node may import"),
        ("qdtrack_ros/input/camera.py", "from qdtrack_ros import node", "qdtrack_ros.input may import"),
        ("qdtrack_ros/input/depth.py", "from ..output.frame import TrackedFrame", "qdtrack_ros.input may import"),
        ("qdtrack_model/commands/track.py", "from qdtrack_model.training import loop", "commands may import"),
        ("qdtrack_model/commands/track.py", "from qdtrack_model.commands.train import main", "commands may import"),
        ("qdtrack_model/pipeline.py", "from qdtrack_model import load", "pipeline may import"),
        ("qdtrack_ros/node.py", "import qdtrack_model", "qdtrack_ros.node may import"),
        ("qdtrack_model/__init__.py", "from qdtrack_model.training import loop", "qdtrack_model may import"),
        ("qdtrack_model/novelty.py", "import math", "a new part"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, line: str, expected: str) -> None:
    model = ("__init__", "pipeline", "losses/__init__", "networks/__init__", "training/__init__", "commands/train")
    ros = ("node", "output/frame")
    for name in (*(f"qdtrack_model/{one}" for one in model), *(f"qdtrack_ros/{one}" for one in ros)):
        neighbour = tmp_path / f"{name}.py"
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
        "import math\nimport numpy as np\nfrom qdtrack_model import boxes\nfrom ..boxes import iou\n", "utf-8"
    )
    assert violations(tmp_path) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "qdtrack_model" / "tracking"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "memory.py").write_text("def f():\n    from qdtrack_model.tracking import motion\n", "utf-8")
    (folder / "motion.py").write_text("from qdtrack_model.tracking.memory import f\n", "utf-8")
    assert set(circle(tmp_path)) == {"qdtrack_model.tracking.memory", "qdtrack_model.tracking.motion"}
