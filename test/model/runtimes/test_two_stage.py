"""QDTrack presets from a weights file to tracks, by every runtime: one static graph, equal results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from qdtrack_model import checkpoints, cli, runtimes
from qdtrack_model.checkpoints.presets import preset_files, read_preset
from qdtrack_model.config import QDTrackConfig
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes.graph import graph_of

from .comparison import assert_same
from .rough_division import with_rough_divisions

# What TensorRT refuses, or runs outside its engine: shapes that depend on data, control flow, the detector operations,
# and, before 10.9, group norms.
REFUSED = {
    "NonZero", "NonMaxSuppression", "Compress", "RoiAlign", "Loop", "If", "Scan", "Unique", "GroupNormalization",
}  # fmt: skip


# Bottlenecks and one class; ordinary blocks, fixed sampling and two classes; hundreds of classes. The graphs of all
# other presets are one of these but for constants.
NETWORKS = ("mot17", "light", "tao")


def of_the_graph(name: str) -> tuple[object, ...]:
    """What decides which operations are in the graph of a QDTrack preset, the small ones of these tests."""
    network = read_preset(name).model
    assert isinstance(network, QDTrackConfig)
    return network.sampling, len(network.classes) > 1


def test_these_stand_for_all() -> None:
    all_presets = [name for name in preset_files() if isinstance(read_preset(name).model, QDTrackConfig)]
    assert {of_the_graph(name) for name in all_presets} == {of_the_graph(name) for name in NETWORKS}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name == "light" else pytest.mark.slow) for name in NETWORKS],
)
def weights(request: pytest.FixtureRequest, small_preset: Callable[[str], checkpoints.Checkpoint]) -> Path:
    """Seeded weights of a preset."""
    return small_preset(request.param).path


def test_all_runtimes_find_and_track_the_same(weights: Path) -> None:
    unsure = {"init_score": 0.1, "object_score": 0.1}  # as seeded networks are
    options = [runtimes.Options(name, threads=1) for name in ("torch", "onnxruntime")]
    pipelines = [Pipeline.load(weights, option, unsure) for option in options]
    image = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    expected, found = (pipeline.runtime.infer(image[None])[0] for pipeline in pipelines)
    assert len(expected) > 20
    assert_same(found, expected)
    first, second = ([p.process(image, time / 10) for time in range(2)] for p in pipelines)
    assert len(first[0]) > 0
    assert [t.ids.tolist() for t in second] == [t.ids.tolist() for t in first]


def test_the_graph_is_static_and_of_plain_operations(weights: Path) -> None:
    checkpoint = checkpoints.load(weights)
    assert isinstance(checkpoint.config, QDTrackConfig)
    graph = onnx.shape_inference.infer_shapes(onnx.load(graph_of(checkpoint))).graph
    assert not REFUSED & {node.op_type for node in graph.node}
    sizes = [side for value in (*graph.input, *graph.output) for side in value.type.tensor_type.shape.dim]
    assert all(side.dim_value > 0 for side in sizes)
    counts = {o.name: [side.dim_value for side in o.type.tensor_type.shape.dim] for o in graph.output}
    assert counts["boxes"] == [1, checkpoint.config.max_detections, 4]


def test_divisions_of_a_gpu_find_the_same(weights: Path, tmp_path: Path) -> None:
    graph = graph_of(checkpoints.load(weights))
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 160, 3), dtype=np.uint8)
    expected = runtimes.load(checkpoints.load(graph), runtimes.Options("onnxruntime", threads=1)).infer(image)[0]
    with_rough_divisions(graph, tmp_path / "rough.onnx")
    rough = checkpoints.load(tmp_path / "rough.onnx")
    assert_same(runtimes.load(rough, runtimes.Options("onnxruntime", threads=1)).infer(image)[0], expected)


def test_the_command_tracks_with_it(weights: Path, blob_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "tracks.txt"
    arguments = ["track", str(blob_folder), "--weights", str(weights), "--output", str(output), "--frames", "1-3"]
    assert cli.main([*arguments, "--runtime", "onnxruntime", "--threads", "1"]) == 0
    assert {line.split(",")[0] for line in output.read_text().splitlines()} <= {"1", "2", "3"}
