"""The kernel for GPUs: in Triton's interpreter against the direct loop, and compiled for the GPUs that it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qdtrack_model.networks.roi_align import BINS, choose_level

from .test_roi_align import SHAPES, direct, pyramid

pytest.importorskip("triton", reason="triton is not installed: pip install triton")

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from triton.runtime.interpreter import InterpretedFunction

from qdtrack_model.networks import roi_align_kernel

# Of every level one whose bins are whole cells, so that a quotient too large would be a sample too many; one across the
# border, an empty one, one wholly outside.
BOXES = [
    [20.0, 20, 48, 48], [40, 40, 152, 152], [10, -20, 234, 204], [-200, -250, 248, 198], [-9, 180, 15, 201],
    [40, 40, 40, 40], [-80, -80, -60, -60],
]  # fmt: skip


@pytest.mark.parametrize("sampling", [0, 1])
def test_it_equals_a_direct_loop(sampling: int) -> None:
    maps = pyramid(batch=2)
    boxes = torch.tensor([BOXES, [*BOXES[1:], BOXES[0]]])[:, ::2] if sampling else torch.tensor([BOXES[:4], BOXES[3:]])
    levels = choose_level(boxes, 4).int()
    interpreted = InterpretedFunction(roi_align_kernel.bins_kernel.fn)
    found = roi_align_kernel.launch(interpreted, maps, boxes, levels, BINS, sampling)
    for image in range(2):
        doubles = [m[image].double().numpy() for m in maps]
        for row, box in enumerate(boxes[image].double().numpy()):
            np.testing.assert_allclose(found[image, row], direct(doubles, box, sampling), atol=5e-5, err_msg=str(box))


@pytest.mark.parametrize(("precision", "capability"), [("fp16", 90), ("bf16", 87), ("fp32", 120)])
def test_it_compiles_without_a_gpu(precision: str, capability: int) -> None:
    constants = {"BINS": BINS, "SAMPLING": 0, "BLOCK": 256}
    types = {"boxes": "*fp32", "levels": "*i32", "output": f"*{precision}"} | dict.fromkeys(constants, "constexpr")
    names = roi_align_kernel.bins_kernel.arg_names
    signature = {name: types.get(name, f"*{precision}" if name.startswith("map_") else "i32") for name in names}
    source = ASTSource(roi_align_kernel.bins_kernel, signature, constants)
    compiled = compile(source, GPUTarget("cuda", capability, 32), {"num_warps": 1})
    assert "div.rn.f32" in compiled.asm["ptx"]  # exact quotients
    assert len(compiled.asm["cubin"]) > 1000


class Aligner(nn.Module):
    def forward(self, maps: list[Tensor], boxes: Tensor, levels: Tensor) -> Tensor:
        return roi_align_kernel.roi_align(maps, boxes, levels, BINS, 0)


def test_torchs_compilers_take_it() -> None:
    maps = [torch.zeros(2, 64, *shape, dtype=torch.float16) for shape in SHAPES]
    boxes, levels = torch.zeros(2, 5, 4), torch.zeros(2, 5, dtype=torch.int32)
    program = torch.export.export(Aligner(), (maps, boxes, levels))
    [node] = [node for node in program.graph.nodes if node.target is torch.ops.qdtrack.roi_align.default]
    assert (node.meta["val"].shape, node.meta["val"].dtype) == ((2, 5, 64, BINS, BINS), torch.float16)
    lowered = program.run_decompositions(decompose_custom_triton_ops=True)  # as AOTInductor does
    assert any("triton_kernel_wrapper" in str(node.target) for node in lowered.graph.nodes)
