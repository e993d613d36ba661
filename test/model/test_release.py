"""What a release is: a wheel that works where only it and what it asks for are installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from shutil import copytree, ignore_patterns
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
VERSION = ElementTree.parse(ROOT / "package.xml").findtext("version")

pytestmark = pytest.mark.slow


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    """What a command prints in this folder; it sees nothing of the environment of these tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AMENT_", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=folder, env={**kept, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `python -m build` makes it: from the source archive."""
    pytest.importorskip("build", reason="build is not installed: pip install -e '.[test]'")
    folder = tmp_path_factory.mktemp("release")
    source = copytree(
        ROOT, folder / "source", ignore=ignore_patterns(".*", "build", "dist", "install", "log", "test", "*.egg-info")
    )
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist"], source)
    assert (folder / "dist" / f"qdtrack-{VERSION}.tar.gz").is_file()
    return folder / "dist" / f"qdtrack-{VERSION}-py3-none-any.whl"


def required(names: Iterable[str], path: list[str]) -> Iterator[metadata.Distribution]:
    """The packages of these names and all that they ask for, from those installed in the folders ``path``."""
    from packaging.requirements import Requirement

    asked, seen = [(name, "") for name in names], set()
    while asked:
        name, extra = asked.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        package, *_ = metadata.distributions(name=name, path=path)
        yield package
        for text in package.requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                asked += [(wanted.name, one) for one in ("", *wanted.extras)]


def environment(prefix: Path, wheel: Path, *names: str) -> Path:
    """Make a virtual environment with the wheel and the packages of these names with all that they ask for.

    Downloading them would take gigabytes: links to what is installed here take their place.
    """
    venv.create(prefix, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", prefix / "bin" / "python"]
    run([*pip, "install", "--no-deps", "--no-index", wheel], prefix)
    [packages] = prefix.glob("lib/python3.*/site-packages")
    for package in required(names, [str(packages), *sys.path]):
        if package.read_text("RECORD") is None:
            pytest.skip(f"{package.name} is not from a wheel here: what belongs to it is not known")
        for name in {file.parts[0] for file in package.files or ()} - {".."}:
            if not (packages / name).exists():
                (packages / name).symlink_to(package.locate_file(name))
    return prefix


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder of a virtual environment as `pip install WHEEL` makes it."""
    prefix = environment(wheel.parents[1] / "environment", wheel, "qdtrack")
    run([sys.executable, "-m", "pip", "--python", prefix / "bin" / "python", "check"], prefix)
    return prefix


@pytest.fixture(scope="module")
def tracked(installed: Path) -> Path:
    """A folder in which the installed program has made ``scene`` and tracked it; its graph lies in ``cache``."""
    folder = installed / "work"
    folder.mkdir()
    program, cache = installed / "bin" / "qdtrack", str(folder / "cache")
    run([program, "synthesize", "--output", "scene", "--seed", "9", "--frames", "5"], folder)
    command = [program, "track", "scene", "--weights", "street", "--overlay", "out.mp4"]
    # Exactly, so that results can be compared on every processor.
    assert "5 frames, " in run([*command, "--precision", "fp32"], folder, QDTRACK_CACHE=cache)
    return folder


def test_the_wheel_holds_what_belongs_to_it(wheel: Path) -> None:
    patterns = ("config/*/*.yaml", "qdtrack_model/**/*", "qdtrack_ros/**/*")
    found = [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file() and path.suffix != ".pyc"]
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    placed = {name.removeprefix(f"qdtrack-{VERSION}.data/data/share/qdtrack/") for name in packed}
    assert placed == {path.relative_to(ROOT).as_posix() for path in found}


def test_it_tracks_where_nothing_else_is_installed(tracked: Path) -> None:
    assert (tracked / "tracks.txt").read_text()
    assert (tracked / "out.mp4").stat().st_size > 1000


def test_it_scores_where_nothing_else_is_installed(installed: Path, tracked: Path) -> None:
    program, where = installed / "bin" / "qdtrack", ["--ground-truth", "scene", "--results", "tracks.txt"]
    assert "HOTA" in run([program, "evaluate", *where], tracked)


def test_it_tracks_with_what_suits_the_processor(installed: Path, tracked: Path) -> None:
    command = [installed / "bin" / "qdtrack", "track", "scene", "--output", "quick.txt"]
    run([*command], tracked, QDTRACK_CACHE=str(tracked / "quick"))
    assert (tracked / "quick.txt").read_text()


def test_a_graph_needs_no_more_than_the_jetson_page_says(tracked: Path, wheel: Path, tmp_path: Path) -> None:
    """With ONNX Runtime in the place of TensorRT."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    [names] = re.findall(r"^ *pip install (numpy .*)$", page, re.MULTILINE)
    prefix = environment(tmp_path / "jetson", wheel, *names.split(), "onnxruntime")
    [graph] = tracked.glob("cache/street-*.onnx")
    run([prefix / "bin" / "qdtrack", "track", tracked / "scene", "--weights", graph], tmp_path)
    assert (tmp_path / "tracks.txt").read_text() == (tracked / "tracks.txt").read_text()


def test_presets_and_recipes_are_found(installed: Path, tmp_path: Path) -> None:
    script = (
        "from importlib.metadata import version\n"
        "from qdtrack_model.checkpoints.presets import preset_files, read_preset\n"
        "from qdtrack_model.training.config import read_recipe\n"
        "print(version('qdtrack'))\n"
        "for path in preset_files().values():\n"
        "    print(path)\n"
        "    read_preset(path.stem)\n"
        "for recipe in path.parents[1].glob('training/*.yaml'):\n"
        "    read_recipe(recipe)\n"
    )
    version, *presets = run([installed / "bin" / "python", "-c", script], tmp_path).splitlines()
    assert version == VERSION
    folder = installed / "share" / "qdtrack" / "config" / "networks"
    assert presets == [str(folder / path.name) for path in sorted(ROOT.glob("config/networks/*.yaml"))]


def test_a_type_checker_sees_the_types(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: pip install -e '.[test]'")
    (tmp_path / "script.py").write_text(
        "import qdtrack_model\n"
        "pipeline = qdtrack_model.load('street', qdtrack_model.Options(threads=2), {'memory_span': 2.0})\n"
        "for image, time in qdtrack_model.read('video.mp4'):\n"
        "    tracks = pipeline.process(image, time)\n"
        "reveal_type((time, tracks, qdtrack_model.TaoTracker().config))\n"
        "qdtrack_model.load(weights=3)\n"
        "qdtrack_model.trac\n"
    )
    # What torch is does not show in these types, and to read it takes long.
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\n[mypy-torch.*]\nfollow_imports = skip\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", installed / "bin" / "python", "script.py"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    revealed, *errors = done.stdout.splitlines()[:-1]
    assert "tuple[float, qdtrack_model.structures.Tracks, qdtrack_model.tracker_config.TaoConfig]" in revealed, (
        done.stderr
    )
    assert [error[error.rindex("[") :] for error in errors] == ["[arg-type]", "[attr-defined]"], done.stdout
