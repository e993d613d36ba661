"""bfloat16 is taken where it finds what float32 finds, and float32 is taken where it does not."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.checkpoints.files import Graph
from qdtrack_model.runtimes import Options, openvino
from qdtrack_model.runtimes.agreement import BEST, Agreement, compare
from qdtrack_model.structures import Array

NATIVE = frozenset({"fpu", "avx512_bf16", "avx512_vnni"})


def outputs(count: int) -> list[Array]:
    """Boxes side by side, best first, as a network gives them, and a row without any."""
    left = 30.0 * np.arange(count + 1)
    boxes = np.stack([left, np.zeros(count + 1), left + 20, np.full(count + 1, 40.0)], axis=1)
    scores = np.append(np.linspace(0.9, 0.1, count), 0.0)
    return [boxes, scores, np.arange(count + 1) % 2, np.random.default_rng(0).normal(size=(count + 1, 16))]


def test_the_same_agrees_in_any_order() -> None:
    exact = outputs(12)
    found = [rows[::-1] for rows in exact]
    result = compare(found, exact)
    assert (result.compared, result.matched, result.score) == (12, 1.0, 0.0)
    assert result.cosine == pytest.approx(1.0)
    assert result.holds


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({0: lambda boxes: boxes + 100 * (np.arange(13) < 3)[:, None]}, {"matched": 9 / 12}),
        ({2: lambda labels: 1 - labels}, {"matched": 0.0}),
        ({1: lambda scores: scores * 0.9}, {"matched": 1.0, "score": 0.086}),
        ({3: lambda embeddings: embeddings + embeddings[::-1]}, {"score": 0.0}),
    ],
    ids=["boxes elsewhere", "other classes", "lower scores", "other appearances"],
)
def test_what_differs_does_not_hold(changed: dict[int, object], expected: dict[str, float]) -> None:
    exact = outputs(12)
    found = [changed[place](rows) if place in changed else rows for place, rows in enumerate(exact)]  # type: ignore[operator]
    result = compare(found, exact)
    assert not result.holds
    for name, value in expected.items():
        assert getattr(result, name) == pytest.approx(value, abs=0.005)


def test_one_of_many_may_differ() -> None:
    exact = outputs(BEST + 5)
    found = [rows.copy() for rows in exact]
    found[0][3] += 100
    assert compare(found, exact) == Agreement(BEST, 0.95, 0.0, pytest.approx(1.0))
    assert compare(found, exact).holds


def test_where_nothing_is_found_nothing_is_known() -> None:
    nothing = [rows * 0 for rows in outputs(3)]
    assert not compare(outputs(3), nothing).holds
    assert str(compare(outputs(3), nothing)) == "nothing is found in the picture that is compared"


@pytest.mark.parametrize(
    ("flags", "missing", "asked", "expected", "told"),
    [
        (NATIVE, None, "auto", ("openvino", "bf16"), "no GPU; the processor multiplies bf16"),
        (
            {"avx512f"},
            None,
            "auto",
            ("onnxruntime", "auto"),
            "not openvino: the processor has no instructions for bf16",
        ),
        (NATIVE, "pip install it", "auto", ("onnxruntime", "auto"), "no GPU; not openvino: pip install it"),
        (NATIVE, None, "fp32", ("onnxruntime", "fp32"), "not openvino: others are as fast in fp32"),
        ({"avx2"}, None, "bf16", ("openvino", "bf16"), "no GPU"),
    ],
    ids=["native", "not native", "not installed", "exact asked for", "bf16 asked for"],
)
def test_the_processor_decides(
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    flags: frozenset[str],
    missing: str | None,
    asked: str,
    expected: tuple[str, str],
    told: str,
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: None)
    monkeypatch.setattr(openvino, "flags", lambda: frozenset(flags))
    monkeypatch.setattr(runtimes.module_of("openvino"), "missing", lambda: missing)
    choice = runtimes.choose(checkpoint, asked)
    assert (choice.runtime, choice.precision) == expected
    assert choice.approximate == (expected == ("openvino", "bf16") and asked == "auto")
    assert choice.reason.endswith(told)


@pytest.mark.parametrize(
    ("precision", "flags", "expected"),
    [
        ("fp32", NATIVE, "onnxruntime"),
        ("int8", NATIVE, "openvino"),
        ("int8", {"avx2"}, "onnxruntime"),
        ("bf16", {"avx2"}, "openvino"),  # the only one that takes it
    ],
)
def test_a_graph_goes_where_its_precision_is_quick(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, precision: str, flags: frozenset[str], expected: str
) -> None:
    monkeypatch.setattr(runtimes.gpu, "find", lambda: None)
    monkeypatch.setattr(openvino, "flags", lambda: frozenset(flags))
    monkeypatch.setattr(runtimes.module_of("openvino"), "missing", lambda: None)
    graph = dataclasses.replace(checkpoint, graph=Graph(precision, 1, checkpoint.digest))
    assert runtimes.choose(graph).runtime == expected
    assert not runtimes.choose(graph).approximate


def test_flags_are_read_where_the_system_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path, **_: "processor : 0\nflags : fpu amx_bf16 avx512_vnni\n")
    assert openvino.multiplies("bf16") == {"amx_bf16"}
    assert openvino.multiplies("int8") == {"avx512_vnni"}
    assert not openvino.multiplies("fp32")

    def refuse(path: Path, **_: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert not openvino.flags()


needs_bfloat16 = pytest.mark.skipif(
    not openvino.multiplies("bf16")
    or runtimes.module_of("openvino").missing() is not None
    or runtimes.gpu.find() is not None,
    reason="auto takes no bfloat16 here: a GPU, no openvino, or a processor without it",
)


@needs_bfloat16
def test_results_that_hold_are_looked_at_once(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    street = checkpoints.load("street")
    with caplog.at_level(logging.INFO):
        loaded = runtimes.load(street, Options(threads=1))
    assert (loaded.name, loaded.device) == ("openvino", "cpu, 1 threads, bf16")
    assert "results of bf16 hold: 100% of 20 detections found again" in caplog.text
    [kept] = cache.glob("street-agreement-*.txt")
    written = kept.stat().st_mtime_ns
    runtimes.load(street, Options(threads=1)).close()
    assert kept.stat().st_mtime_ns == written


@needs_bfloat16
def test_weights_whose_results_do_not_hold_are_run_exactly(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    # Its untrained scores all but tie: every rounding chooses other places.
    loaded = runtimes.load(checkpoint, Options(threads=1))
    assert (loaded.name, loaded.device) == ("onnxruntime", "cpu, 1 threads, fp32")
    assert "results of bf16 do not hold, " in caplog.text
    assert "runtime onnxruntime in fp32" in caplog.text
