"""Parameters: described, validated with a reason, and documented by the same table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from qdtrack_model import checkpoints
from qdtrack_model.config import TRACKERS, ConfigError, FairMotConfig, OneShotConfig, QuasiDenseConfig, TaoConfig
from qdtrack_model.networks import build
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options, gpu
from qdtrack_ros import parameters
from qdtrack_ros.node import TrackerNode

SUCCESS, ERROR = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.ERROR
ROOT = Path(__file__).parents[2]


def make(**values: object) -> TrackerNode:
    overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    return TrackerNode(blob_pipeline, parameter_overrides=overrides)


@pytest.fixture
def node() -> Iterator[TrackerNode]:
    made = make()
    yield made
    made.close()
    made.destroy_node()


def test_every_parameter_is_described(node: TrackerNode) -> None:
    for name in parameters.SPECIFICATIONS:
        descriptor = node.describe_parameter(name)
        assert descriptor.description.endswith("."), name
    assert node.describe_parameter("autostart").read_only
    assert node.describe_parameter("min_score").floating_point_range[0].to_value == 1.0


def test_every_tracker_setting_is_a_parameter() -> None:
    fields = {f"tracker.{field.name}" for kind in TRACKERS for field in dataclasses.fields(kind)}
    assert fields - {"tracker.frame_rate"} == {
        name for name in parameters.SPECIFICATIONS if name.startswith("tracker.")
    }


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("min_score", 1.5, "min_score: got 1.5, expected 0 to 1"),
        ("min_score", "high", "min_score: got 'high', expected float"),
        ("runtime", "abacus", "runtime: got 'abacus', expected one of auto, onnxruntime, "),
        ("cameras", ["front", ""], "cameras: got '', expected names of letters, digits and underscores"),
        ("cameras", ["a", "b", "a"], "cameras: got 'a' twice, expected every camera once"),
        ("cameras", ["front/left"], "cameras: got 'front/left', expected names of letters"),
        ("cameras", "front", "cameras: got 'front', expected list of strings"),
        ("queue_size", 0, "queue_size: got 0, expected 1 to 64"),
        ("tracker.init_score", 3.0, "tracker.init_score: got 3.0, expected"),
        ("tracker.memory_span", -1, "tracker.memory_span: got -1.0, expected a positive number"),
        ("tracker.metric", "manhattan", "tracker.metric: got 'manhattan', expected one of bisoftmax"),
        ("tracker.kind", "sort", "tracker.kind: got 'sort', expected one of quasi_dense, tao, fairmot"),
        ("tracker.duplicate_iou", 2.0, "tracker.duplicate_iou: got 2.0, expected a number in [0, 1]"),
        ("publish_lost", 1, "publish_lost: got 1, expected bool"),
    ],
)
def test_bad_values_are_refused_with_the_reason(node: TrackerNode, name: str, value: object, reason: str) -> None:
    before = node.get_parameter(name).value
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    assert name.rsplit(".")[-1] in result.reason  # rclpy words ranges itself
    assert node.get_parameter(name).value == before
    with pytest.raises(ConfigError) as caught:
        make(**{name.replace(".", "__"): value})
    assert reason in str(caught.value)


def test_whole_numbers_are_taken_for_floats() -> None:
    made = make(silence_warning=2, tracker__memory_span=3)
    assert parameters.value(made, "silence_warning") == 2.0
    assert parameters.tracker_settings(parameters.values(made)) == {"memory_span": 3.0}
    made.destroy_node()


def test_only_what_is_set_overrides_the_tracker(node: TrackerNode) -> None:
    assert parameters.tracker_settings(parameters.values(node)) == {}


def test_unknown_tracker_key_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"'tracker.memory_spam'; did you mean 'tracker.memory_span'"):
        make(tracker__memory_spam=1.0)


def test_the_tao_tracker_comes_with_its_weights_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    config = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, head_width=16, embedding_size=8)
    weights = tmp_path / "tao.safetensors"
    checkpoints.save(weights, build(config), config, TaoConfig(memory_span=10.0), {})
    given = {"weights": str(weights), "runtime": "torch", "autostart": False, "tracker.duplicate_iou": 0.4}
    for more, done in (({}, SUCCESS), ({"tracker.gate": 1.0}, ERROR)):
        overrides = [Parameter(name, value=value) for name, value in (given | more).items()]
        made = TrackerNode(parameter_overrides=overrides)
        assert made.trigger_configure() == done
        made.close()
        made.destroy_node()


def test_another_tracker_can_be_chosen(tmp_path: Path) -> None:
    config = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, head_width=16, embedding_size=8)
    weights = tmp_path / "small.safetensors"
    checkpoints.save(weights, build(config), config, QuasiDenseConfig(memory_span=2.0, frame_rate=10.0), {})
    given = {"weights": str(weights), "runtime": "torch", "autostart": False, "tracker.kind": "fairmot"}
    for metric, done in (("euclidean", SUCCESS), ("bisoftmax", ERROR)):
        overrides = [Parameter(name, value=value) for name, value in (given | {"tracker.metric": metric}).items()]
        made = TrackerNode(parameter_overrides=overrides)
        assert made.trigger_configure() == done
        if done == SUCCESS:
            found = made._cameras[0].tracker.config
            assert found == FairMotConfig(metric="euclidean", memory_span=2.0, frame_rate=10.0)
            assert made.set_parameters([Parameter("tracker.min_score", value=0.3)])[0].successful
            assert not made.set_parameters([Parameter("tracker.kind", value="tao")])[0].successful
        made.close()
        made.destroy_node()


@pytest.mark.parametrize(("fallback", "done"), [(False, ERROR), (True, SUCCESS)])
def test_another_runtime_is_taken_only_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fallback: bool, done: TransitionCallbackReturn
) -> None:
    monkeypatch.setattr(gpu, "find", lambda: None)
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path))
    config = OneShotConfig(input_size=(64, 96), width=0.125, head_width=16, embedding_size=8)
    checkpoints.save(tmp_path / "small.safetensors", build(config), config, QuasiDenseConfig(), {})
    given = {"weights": str(tmp_path / "small.safetensors"), "runtime": "tensorrt", "autostart": False}
    overrides = [Parameter(name, value=value) for name, value in (given | {"fallback": fallback}).items()]
    made = TrackerNode(parameter_overrides=overrides)
    assert made.trigger_configure() == done
    if fallback:
        assert made._network is not None and made._network.pipeline.runtime.name == "onnxruntime"
    made.close()
    made.destroy_node()


def test_settings_read_at_configure_are_refused_afterwards(node: TrackerNode) -> None:
    assert node.set_parameters([Parameter("tracker.memory_span", value=2.0)])[0].successful
    node.trigger_configure()
    result = node.set_parameters([Parameter("weights", value="plaza")])[0]
    assert not result.successful
    assert result.reason == "weights is read when the node is configured: deactivate and clean up first"
    node.trigger_cleanup()
    assert node.set_parameters([Parameter("weights", value="plaza")])[0].successful


def test_tracker_settings_change_while_tracking_if_the_tracker_has_them(node: TrackerNode) -> None:
    node.trigger_configure()
    kept = node._cameras[0].tracker
    assert node.set_parameters([Parameter("tracker.memory_span", value=3)])[0].successful
    assert node._cameras[0].tracker is kept
    assert kept.config.memory_span == 3.0
    result = node.set_parameters([Parameter("tracker.duplicate_iou", value=0.4)])[0]
    assert (result.successful, kept.config.memory_span) == (False, 3.0)
    assert "unknown key 'duplicate_iou'" in result.reason
    assert node.get_parameter("tracker.duplicate_iou").value is None


def test_tracker_settings_are_refused_while_the_node_loads_with_those_it_has() -> None:
    answers: list[SetParametersResult] = []

    def load(weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
        answers.extend(made.set_parameters([Parameter("tracker.memory_span", value=3.0)]))
        return blob_pipeline(weights, options, tracker)

    made = TrackerNode(load)
    try:
        made.trigger_configure()
        assert [answer.reason for answer in answers] == [
            "tracker.memory_span was read just now: set it when the node is configured"
        ]
        assert made.set_parameters([Parameter("tracker.memory_span", value=3.0)])[0].successful
        assert made._cameras[0].tracker.config.memory_span == 3.0
    finally:
        made.close()
        made.destroy_node()


def test_a_parameter_cannot_be_deleted(node: TrackerNode) -> None:
    result = node.set_parameters([Parameter("tracker.gate", Parameter.Type.NOT_SET)])[0]
    assert (result.successful, result.reason) == (False, "tracker.gate cannot be deleted")


def test_parameter_file_holds_the_defaults() -> None:
    held = yaml.safe_load((ROOT / "config" / "node" / "tracker.yaml").read_text())["/**"]["ros__parameters"]
    assert held == {s.name: s.default for s in parameters.SPECIFICATIONS.values() if s.default is not None}


def test_documentation_is_up_to_date() -> None:
    written = (ROOT / "docs" / "parameters.md").read_text()
    assert written == parameters._markdown(), "run: python -m qdtrack_ros.parameters > docs/parameters.md"
