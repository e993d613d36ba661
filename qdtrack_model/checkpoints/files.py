"""Weights files: safetensors (no code can hide in them) that know their network, their tracker and their origin.

The metadata of the file hold, as JSON: ``architecture`` and ``model`` (the network's configuration), ``tracker``
(the tracker's configuration tuned for these weights, times in seconds) and ``provenance`` (data, command, seed,
metrics). Loading is strict: every tensor must be there, of the right shape, and none left over. A graph that
``qdtrack export`` wrote (``.onnx``) carries the same metadata and is read by the same :func:`read`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from qdtrack_model.atomic import atomic_write
from qdtrack_model.cache import sha256
from qdtrack_model.checkpoints.tensors import CheckpointError, fill
from qdtrack_model.config import (
    ARCHITECTURES,
    ModelConfig,
    TrackerConfig,
    architecture_of,
    from_mapping,
    read_tracker,
    require,
    to_mapping,
)

if TYPE_CHECKING:
    from torch import nn

FORMAT = "qdtrack-1"


@dataclass(frozen=True)
class Graph:
    """What sets an exported graph apart: its precision, its number of images, the hash of the weights it came from."""

    precision: str
    batch: int
    weights: str


@dataclass(frozen=True)
class Checkpoint:
    """A file whose description has been read and checked; the tensors stay in the file until asked for.

    ``graph`` is None for weights.
    """

    path: Path
    config: ModelConfig
    tracker: TrackerConfig
    provenance: Mapping[str, Any]
    graph: Graph | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return sha256(self.path)

    @property
    def fresh(self) -> tuple[str, ...]:
        """Parts of the network that have learned nothing, where these are weights to start a training from."""
        named = self.provenance.get("fresh")
        return tuple(map(str, named)) if isinstance(named, list) else ()

    def network(self) -> nn.Module:
        """The network with these weights, in evaluation mode, on the CPU.

        Raises:
            CheckpointError: tensors are missing, left over, of another shape, or not finite; or an exported graph,
                from which no network can be made.
        """
        if self.graph is not None:
            raise CheckpointError(f"{self.path}: an exported graph holds no network for torch; give the weights")
        from safetensors.torch import load_file

        from qdtrack_model.networks import build

        network = build(self.config)
        fill(network, load_file(self.path), str(self.path))
        return network.eval()


def read(path: Path) -> Checkpoint:
    """Read the description of weights or of an exported graph; tensors are read by :meth:`Checkpoint.network`.

    Raises:
        CheckpointError: not readable, not of this project, or of an unknown architecture.
    """
    metadata = _graph_metadata(path) if path.suffix == ".onnx" else _weights_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: no weights of qdtrack: metadata `format` is {metadata.get('format')!r}, expected {FORMAT!r}"
        )
    architecture = metadata.get("architecture")
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise CheckpointError(f"{path}: architecture {architecture!r} is not known here, expected one of: {known}")
    try:
        model, tracker, provenance = (json.loads(metadata[key]) for key in ("model", "tracker", "provenance"))
        require(isinstance(provenance, dict), "provenance", provenance, "a mapping")
        return Checkpoint(
            path,
            from_mapping(ARCHITECTURES[architecture], model, f"{path}: model"),
            read_tracker(tracker, f"{path}: tracker"),
            provenance,
            _graph(metadata) if path.suffix == ".onnx" else None,
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: broken description: {error} is missing") from None
    except (ValueError, RecursionError) as error:  # ConfigError and what json raises are ValueErrors
        raise CheckpointError(f"{path}: broken description: {error}") from None


def _weights_metadata(path: Path) -> Mapping[str, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error}); is it complete?") from None


def _graph_metadata(path: Path) -> Mapping[str, str]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable ONNX file ({error}); is it complete?") from None
    return {entry.key: entry.value for entry in model.metadata_props}


def _graph(metadata: Mapping[str, str]) -> Graph:
    batch = int(metadata["batch"])
    require(batch > 0, "batch", batch, "a positive number")
    return Graph(metadata["precision"], batch, metadata["weights"])


def describe(config: ModelConfig, tracker: TrackerConfig, provenance: Mapping[str, Any]) -> dict[str, str]:
    """The metadata that weights files and exported graphs carry."""
    return {
        "format": FORMAT,
        "architecture": architecture_of(config),
        "model": json.dumps(to_mapping(config)),
        "tracker": json.dumps(to_mapping(tracker)),
        "provenance": json.dumps(provenance),
    }


def save(
    path: str | Path,
    network: nn.Module,
    config: ModelConfig,
    tracker: TrackerConfig,
    provenance: Mapping[str, Any],
    half: bool = False,
) -> None:
    """Write weights with their description; the file appears whole or not at all.

    Args:
        path: file to write; its folder is made where it is missing.
        network: its tensors are written.
        config: the network's.
        tracker: suits these weights, times in seconds.
        provenance: anything that JSON can hold.
        half: matrices and kernels in half precision, which halves the file; they are read as float32 again. Scales
            and statistics of norms, of which there are few, stay as they are.

    Raises:
        CheckpointError: a weight is too large for half precision.
    """
    from safetensors.torch import save as to_bytes

    path = Path(path)
    metadata = describe(config, tracker, provenance)
    tensors = {
        name: (tensor.half() if half and tensor.ndim > 1 else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }
    if half and (large := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]):
        raise CheckpointError(f"{path}: {large[0]} has values too large for half precision; store it in full")
    # Not save_file: its files are readable by their owner alone, and a node often runs as somebody else.
    with atomic_write(path) as partial:
        partial.write_bytes(to_bytes(tensors, metadata))
