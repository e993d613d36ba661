"""Point the CMake exports of the ROS wheels at this environment's Python and NumPy.

The wheels carry the include directories of the machine that built them, and CMake refuses to import a target whose
include directory does not exist. Run with the environment's own Python; running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy

NUMPY_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/lib/python3\.\d+/site-packages/numpy/_?core/include")
PYTHON_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+")


def patch(share: Path, python_include: str, numpy_include: str) -> list[Path]:
    """Replace the foreign directories in every ``*.cmake`` below ``share``; return the files that changed."""
    changed = []
    for path in sorted(share.rglob("*.cmake")):
        text = path.read_text(encoding="utf-8")
        # A function as replacement: a directory's name may hold a backslash or a digit group.
        patched = NUMPY_INCLUDE.sub(lambda _: numpy_include, text)
        patched = PYTHON_INCLUDE.sub(lambda _: python_include, patched)
        if patched != text:
            path.write_text(patched, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    patch(Path(sys.prefix) / "share", sysconfig.get_path("include"), numpy.get_include())
