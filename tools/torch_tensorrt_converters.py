#!/usr/bin/env python3
"""List what Torch-TensorRT converts, for test/model/runtimes/test_torch_tensorrt.py; neither it nor a GPU is needed.

    git clone --depth 1 --branch v2.13.0 https://github.com/pytorch/TensorRT
    tools/torch_tensorrt_converters.py TensorRT/py/torch_tensorrt 2.13.0 >test/model/runtimes/torch_tensorrt.json

The first argument is the folder of the package, installed or in a source tree; it is read, never imported.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path


def name_of(node: ast.expr) -> str | None:
    """``torch.ops.aten.view.default`` or ``aten.view.default`` -> ``aten.view.default``; None for anything else."""
    text = ast.unparse(node).removeprefix("torch.ops.")
    return text if text.startswith(("aten.", "prims.")) or text == "operator.getitem" else None


def decorated(tree: ast.AST, decorator: str) -> Iterator[str]:
    """The operation in the first argument of every ``@decorator(operation, ...)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == decorator and node.args:
            name = name_of(node.args[0])
            if name is not None:
                yield name


def members(tree: ast.AST, variable: str) -> Iterator[str]:
    """The operations in ``variable: ... = {...}``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == variable and isinstance(node.value, ast.Set):
            yield from filter(None, map(name_of, node.value.elts))


def main() -> None:
    """Print the list as JSON."""
    package, version = Path(sys.argv[1]), sys.argv[2]
    sources = [ast.parse(path.read_text("utf-8")) for path in sorted(package.glob("dynamo/conversion/*.py"))]
    groups = ast.parse((package / "dynamo/lowering/_decomposition_groups.py").read_text("utf-8"))
    rewrites = ast.parse((package / "dynamo/lowering/_decompositions.py").read_text("utf-8"))
    result = {
        "version": version,
        "converted": sorted({name for tree in sources for name in decorated(tree, "dynamo_tensorrt_converter")}),
        "rewritten": sorted(set(decorated(rewrites, "register_torch_trt_decomposition"))),
        "decomposed": sorted(set(members(groups, "torch_enabled_decompositions"))),
        "kept": sorted(set(members(groups, "torch_disabled_decompositions"))),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
