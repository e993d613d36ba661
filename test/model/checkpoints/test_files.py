import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qdtrack_model import checkpoints
from qdtrack_model.checkpoints import CheckpointError
from qdtrack_model.config import OneShotConfig, QuasiDenseConfig
from qdtrack_model.networks import build

CONFIG = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, max_detections=20)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    checkpoints.save(path, build(CONFIG), CONFIG, QuasiDenseConfig(memory_span=2.0), {"seed": 0})
    return path


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **metadata: str) -> None:
    """The same file with other tensors or other metadata."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        old = file.metadata()
    save_file(tensors or load_file(path), path, old | metadata)


def test_round_trip(weights: Path) -> None:
    checkpoint = checkpoints.load(weights)
    assert checkpoint.config == CONFIG
    assert checkpoint.tracker.memory_span == 2.0
    assert checkpoint.provenance == {"seed": 0}
    torch.manual_seed(0)
    saved = build(CONFIG).state_dict()
    torch.testing.assert_close(dict(checkpoint.network().state_dict()), dict(saved))
    assert not list(weights.parent.glob("*.partial"))
    (weights.parent / "plain").touch()
    assert weights.stat().st_mode == (weights.parent / "plain").stat().st_mode, "as readable as any other new file"


def test_a_file_that_names_no_kind_of_tracker_is_quasi_dense(weights: Path) -> None:
    rewrite(weights, tracker=json.dumps({"memory_span": 3.0}))
    assert checkpoints.load(weights).tracker == QuasiDenseConfig(memory_span=3.0)
    rewrite(weights, tracker=json.dumps({"kind": "sort"}))
    with pytest.raises(CheckpointError, match=r"tracker.kind: got 'sort', expected one of quasi_dense, tao"):
        checkpoints.load(weights)


def test_half_precision_halves_the_file_and_is_read_as_float32(weights: Path) -> None:
    torch.manual_seed(0)
    network, half = build(CONFIG), weights.with_name("half.safetensors")
    checkpoints.save(half, network, CONFIG, QuasiDenseConfig(), {}, half=True)
    assert half.stat().st_size < 0.6 * weights.stat().st_size
    for name, tensor in checkpoints.load(half).network().state_dict().items():
        assert tensor.dtype == network.state_dict()[name].dtype
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=1e-3, atol=1e-6)
    torch.nn.init.constant_(next(p for p in network.parameters() if p.ndim > 1), 1e5)
    with pytest.raises(CheckpointError, match="too large for half precision"):
        checkpoints.save(weights.with_name("large.safetensors"), network, CONFIG, QuasiDenseConfig(), {}, half=True)
    assert not weights.with_name("large.safetensors").exists()


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(CheckpointError, match=r"neither a file nor a name .*plaza, street, .*qdtrack-mot17, "):
        checkpoints.load("nowhere")


def test_truncated_and_foreign_files_are_refused(weights: Path, tmp_path: Path) -> None:
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        checkpoints.load(weights)
    hostile = tmp_path / "hostile.safetensors"
    hostile.write_bytes(pickle.dumps({"state_dict": np.zeros(3)}))
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        checkpoints.load(hostile)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    with pytest.raises(CheckpointError, match="no weights of qdtrack"):
        checkpoints.load(foreign)


def test_another_architecture_is_named(weights: Path) -> None:
    rewrite(weights, architecture="yolo")
    with pytest.raises(CheckpointError, match="architecture 'yolo' is not known here, expected one of: one_shot"):
        checkpoints.load(weights)


def test_an_unknown_key_in_the_description_is_named(weights: Path) -> None:
    rewrite(weights, model=json.dumps({"widht": 0.5}))
    with pytest.raises(CheckpointError, match="unknown key 'widht'; did you mean 'width'"):
        checkpoints.load(weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("heat.bias"), "missing heat.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda t: t.update({"heat.bias": torch.zeros(2)}), r"heat.bias has shape \(2,\), expected \(1,\)"),
        (lambda t: t["heat.bias"].fill_(float("nan")), "heat.bias is not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(weights: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    tensors = load_file(weights)
    change(tensors)
    rewrite(weights, tensors)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(weights).network()
