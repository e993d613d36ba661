"""A network as one static ONNX graph, from uint8 image to boxes, scores, labels and embeddings."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qdtrack_model import checkpoints
from qdtrack_model.atomic import atomic_write
from qdtrack_model.cache import Identity, keep
from qdtrack_model.checkpoints import Checkpoint

if TYPE_CHECKING:
    import onnx
    import onnx_ir
    import torch
    from torch import nn

OUTPUTS = ("boxes", "scores", "labels", "embeddings")
FLOATS = ("fp32", "fp16", "bf16")  # what a graph can be exported to
INTEGERS = ("int8", "int8-fp16")  # what needs data besides, see quantization.py
GRAPH_VERSION = 9  # raise when networks compute differently from the same weights
OPSETS = {"bf16": 22}  # the first whose convolutions take bfloat16
OPSET = 20  # of the others: the last that TensorRT 10.3, JetPack 6's, is documented for


class GraphError(ValueError):
    """A graph that does not suit what is asked of it."""


def deployed(checkpoint: Checkpoint, precision: str) -> nn.Module:
    """The network as it is exported: batch norms folded, weights and layers in ``precision``, outputs float32.

    Labels are int64. Boxes, scores and everything that counts pixels stay float32 within, whatever the precision.

    Args:
        checkpoint: of weights.
        precision: one of FLOATS.
    """
    import torch
    from torch import Tensor, nn

    from qdtrack_model.networks.folding import fold_norms

    class Deployed(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            boxes, scores, labels, embeddings = self.network(images)
            return boxes.float(), scores.float(), labels, embeddings.float()

    types: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    network = checkpoint.network()
    fold_norms(network)
    return Deployed(network.to(types[precision])).eval()


def export_onnx(checkpoint: Checkpoint, path: Path, precision: str = "fp32", batch: int = 1) -> None:
    """Write the graph of ``checkpoint`` for images (batch, H, W, 3); the file appears whole or not at all.

    Its metadata are those of the weights file, with ``weights`` (the hash of that file), ``precision`` and ``batch``.

    Raises:
        GraphError: ``checkpoint`` is a graph already.
    """
    import onnx
    import torch

    if checkpoint.graph is not None:
        raise GraphError(f"{checkpoint.path}: is an exported graph already; give the weights (.safetensors)")
    height, width = checkpoint.config.input_size
    images = torch.zeros((batch, height, width, 3), dtype=torch.uint8)
    with quiet(), uninterrupted():
        program = torch.onnx.export(
            deployed(checkpoint, precision),
            (images,),
            dynamo=True,
            external_data=False,
            input_names=["images"],
            output_names=list(OUTPUTS),
            opset_version=OPSETS.get(precision, OPSET),
            verbose=False,
            optimize=False,
        )
        assert program is not None
        model = simplified(program.model)
    described = checkpoints.describe(checkpoint.config, checkpoint.tracker, checkpoint.provenance)
    described |= {"weights": checkpoint.digest, "precision": precision, "batch": str(batch)}
    onnx.helper.set_model_props(model, described)
    onnx.checker.check_model(model, full_check=True)
    with atomic_write(path) as partial:
        partial.write_bytes(model.SerializeToString())


def simplified(model: onnx_ir.Model) -> onnx.ModelProto:
    """The graph without what is constant, unused or there twice.

    The exporter's own way also tries a hundred patterns at every node, which takes as long as all the rest of an export
    and finds nothing that runtimes do not merge themselves.
    """
    import onnx_ir
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants_ir

    common.InlinePass()(model)
    common.IdentityEliminationPass()(model)
    fold_constants_ir(model, onnx_shape_inference=True)
    for simplify in (
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    ):
        simplify(model)
    return onnx_ir.to_proto(model)


def graph_identity(checkpoint: Checkpoint, precision: str, batch: int) -> Identity:
    """What an exported graph depends on."""
    return {
        "weights": checkpoint.digest,
        "graph": GRAPH_VERSION,
        "precision": precision,
        "batch": batch,
        "input_size": list(checkpoint.config.input_size),
    }


def graph_of(checkpoint: Checkpoint, precision: str = "fp32", batch: int = 1) -> Path:
    """The graph of ``checkpoint``: exported on first use and kept, or the file itself where it is a graph.

    Raises:
        CacheError: the cache folder cannot be written.
        GraphError: ``checkpoint`` is a graph of another precision or batch, or is weights where one of INTEGERS is
            asked for.
    """
    if checkpoint.graph is not None:
        if (precision, batch) != (checkpoint.graph.precision, checkpoint.graph.batch):
            raise GraphError(
                f"{checkpoint.path}: is a graph in {checkpoint.graph.precision} for {checkpoint.graph.batch} images, "
                f"asked for {precision} and {batch}; export the weights again"
            )
        return checkpoint.path
    if precision not in FLOATS:
        raise GraphError(
            f"{checkpoint.path}: {precision} needs a graph calibrated with data: "
            f"qdtrack export WEIGHTS --precision {precision} --calibration FOLDER --output model.onnx"
        )
    identity = graph_identity(checkpoint, precision, batch)
    return keep(
        checkpoint.path.stem, ".onnx", identity, lambda partial: export_onnx(checkpoint, partial, precision, batch)
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's remarks about optional packages and its progress prints."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Take Ctrl-C after the block: raised within the C++ of torch's exporter it can abort the process.

    Raises:
        KeyboardInterrupt: it came.
    """
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not raises or threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        os.write(2, b"stopping; the step it is at ends first\n")

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if asked:
            raise KeyboardInterrupt
