"""Whether Torch-TensorRT can take whole networks: every operation of the exported program has a converter there.

It is not installed on CI; ``torch_tensorrt.json`` lists what it converts (``tools/torch_tensorrt_converters.py``).
"""

from __future__ import annotations

import dataclasses
import json
import operator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._decomp import get_decompositions
from torch._export.utils import _collect_all_valid_cia_ops_for_aten_namespace, _get_decomp_for_cia

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.config import ModelConfig, OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build
from qdtrack_model.runtimes import Options, RuntimeUnavailable, gpu, torch_tensorrt
from qdtrack_model.runtimes.engine_builder import lacking
from qdtrack_model.runtimes.graph import deployed

LIST = json.loads(Path(__file__).with_name("torch_tensorrt.json").read_text("utf-8"))
# Its passes replace the one by max_pool2d, for which it has a converter, and take the other out.
PASSES = {"aten.max_pool2d_with_indices.default", "aten._assert_tensor_metadata.default"}
# Of each architecture one, with the depth and the sampling of the shipped weights.
NETWORKS = {
    "one-shot": OneShotConfig(input_size=(64, 96), width=0.125, max_detections=20),
    "light": dataclasses.replace(read_preset("light").model, input_size=(96, 160)),
}


def operation(name: str) -> Any:
    """The operation, or all its variants, called ``aten.view.default`` or ``aten.view``."""
    return operator.attrgetter(name)(torch.ops)


def name_of(target: Any) -> str:
    return "operator.getitem" if target is operator.getitem else str(target)


@pytest.fixture(scope="module", params=NETWORKS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> torch.export.ExportedProgram:
    """The exported program of a network in half precision."""
    config: ModelConfig = NETWORKS[request.param]
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(path, build(config), config, QuasiDenseConfig(), {})
    images = torch.zeros((1, *config.input_size, 3), dtype=torch.uint8)
    return torch.export.export(deployed(checkpoints.load(path), "fp16"), (images,))


@pytest.fixture(scope="module")
def lowered(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same, decomposed as ``torch_tensorrt.dynamo.compile`` does."""
    kept = {operation(name) for name in LIST["kept"]}
    composed = (op for op in _collect_all_valid_cia_ops_for_aten_namespace() if op not in kept)
    table = get_decompositions([operation(name) for name in LIST["decomposed"]])
    return program.run_decompositions({**table, **{op: _get_decomp_for_cia(op) for op in composed}})


def test_nothing_waits_in_host_memory(program: torch.export.ExportedProgram) -> None:
    # Constants that torch.tensor makes would be copied to the GPU in every frame, which no CUDA graph can record.
    assert {name for name in program.constants if "lifted_tensor" in name} == set()
    assert not [node for node in program.graph.nodes if "lift_fresh" in name_of(node.target)]


def test_every_operation_is_converted(lowered: torch.export.ExportedProgram) -> None:
    known = PASSES | set(LIST["converted"]) | set(LIST["rewritten"])
    names = {name_of(node.target) for node in lowered.graph.nodes if node.op == "call_function"}
    assert len(names) > 20
    assert {name for name in names if name not in known and name.rpartition(".")[0] not in known} == set()


def test_no_top_k_is_of_one_dimension(lowered: torch.export.ExportedProgram) -> None:
    # Listed among the converters, and failing there.
    inputs = [node.args[0] for node in lowered.graph.nodes if name_of(node.target).startswith("aten.topk")]
    assert inputs
    assert all(tensor.meta["val"].ndim > 1 for tensor in inputs)


@pytest.mark.skipif(lacking("torch_tensorrt", "x") is None, reason="Torch-TensorRT is installed")
def test_it_says_how_it_is_installed(tmp_path: Path) -> None:
    config = NETWORKS["one-shot"]
    checkpoints.save(tmp_path / "small.safetensors", build(config), config, QuasiDenseConfig(), {})
    for attempt in (runtimes.load, runtimes.build):
        with pytest.raises(
            RuntimeUnavailable, match="not installed: pip install torch-tensorrt, of the version of torch"
        ):
            attempt(checkpoints.load(tmp_path / "small.safetensors"), Options("torch_tensorrt"))


def test_what_it_cannot_compile_is_one_clear_error(
    checkpoint: checkpoints.Checkpoint, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the package; without a GPU torch itself refuses by an AssertionError, as the package does."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("require_full_compilation=True was specified, but model is not fully supported\nmore")

    package = SimpleNamespace(__version__="2.13.0", dynamo=SimpleNamespace(compile=refuse))
    monkeypatch.setattr(torch_tensorrt, "import_package", lambda name: package)
    monkeypatch.setattr(torch_tensorrt, "missing", lambda: None)
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("H200", (9, 0), 13000, 132))
    with pytest.raises(RuntimeUnavailable, match=r"^Torch-TensorRT cannot compile small\.safetensors: .") as caught:
        runtimes.build(checkpoint, Options("torch_tensorrt", batch=2))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"got 8\.9, Torch-TensorRT builds for the GPU here, 9\.0"):
        runtimes.build(checkpoint, Options("torch_tensorrt"), "8.9")
    assert not list(own_cache.glob("*.pt2"))


def test_what_was_compiled_for_other_gpus_too_is_taken_where_there_is_nothing_better(
    checkpoint: checkpoints.Checkpoint, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"torch": "2.13.0", "torch_tensorrt": "2.13.0", "tensorrt": "11.0.0"}
    monkeypatch.setattr(torch_tensorrt, "import_package", lambda name: SimpleNamespace(__version__=versions[name]))
    monkeypatch.setattr(torch_tensorrt, "missing", lambda: None)
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("A100", (8, 0), 13000, 108))
    monkeypatch.setattr(torch_tensorrt, "_compile", lambda checkpoint, options, path: path.write_text(str(options)))
    known, options = torch_tensorrt.TorchTensorRtRuntime._known, Options("torch_tensorrt", "fp16")
    assert known(checkpoint, options) is None
    portable = runtimes.build(checkpoint, replace(options, portable=True))[0]
    own = runtimes.build(checkpoint, options)[0]
    assert portable != own == known(checkpoint, options)
    versions["tensorrt"] = "11.4.1"
    monkeypatch.setattr(gpu, "find", lambda: gpu.Gpu("H200", (9, 0), 13000, 132))
    assert known(checkpoint, options) == portable
    versions["torch_tensorrt"] = "2.14.0"
    assert known(checkpoint, options) is None
