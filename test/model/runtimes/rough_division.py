"""Graphs that divide as GPUs do: the last two bits of a quotient may be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

OFF = 1 - 2.0**-22  # two units in the last place of float32


def with_rough_divisions(graph: Path, path: Path) -> None:
    """Write the exported ``graph`` to ``path`` with every quotient that is rounded down made a little too small."""
    model = onnx.load(graph)
    rounded = {name for node in model.graph.node if node.op_type == "Floor" for name in node.input}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.append(node)
        name = node.output[0]
        if node.op_type == "Div" and name in rounded:
            model.graph.node[-1].output[0] = f"{name}_exact"
            model.graph.node.append(onnx.helper.make_node("Mul", [f"{name}_exact", "off"], [name]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(OFF), "off"))
    onnx.save(model, path)
