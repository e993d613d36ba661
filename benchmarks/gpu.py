"""What a GPU makes of the networks here: whether they build, agree with float64 and are fast enough, in one command.

    PYTHONPATH=. python benchmarks/gpu.py [--budget 600] [--device cuda] [--rows NAME ...]
                                          [--markdown FILE] [--json FILE]

It needs a checkout, not installed, and torch, NumPy, OpenCV, PyYAML, safetensors and tqdm: rows whose runtime is
missing are left out with the reason. The most valuable row comes first, each works in a process of its own that ends
when its time is up, and both files are written anew after every row, so that a machine that is lent for minutes is
never lent for nothing. With ``--device cpu`` the same rows run small, to try the script. The exit code is 1 when a row
fails: it broke, ran out of its time, found something else than float64, or was slower than it must be on an H100 or
H200.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from models import deviation, exact, open_model, street_images

from qdtrack_model import runtimes
from qdtrack_model.config import ModelConfig
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.networks import QDTrack
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.cuda.fitting import GpuPreprocessor, preprocessor
from qdtrack_model.structures import Array, Detections
from qdtrack_model.synthetic import Scene, SceneConfig

LONGEST = 240  # seconds of a row
SMALL = (96, 160)  # height, width of every input on a CPU
MATCHED = {"fp32": 0.99, "fp16": 0.99, "bf16": 0.95}  # the share of detections that float64 must confirm
SECONDS = 2.0  # of measuring, after warming up


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``model`` is as for ``benchmarks/runtimes.py``; ``goal`` the most milliseconds an image on compute capability 9.0;
    ``times`` how many times as long as ``r50-aot`` it must take there, at least;
    ``task`` is ``runtime``, or what is measured around it: ``stages``, ``pipeline``, ``fitting``. ``tuned`` has torch
    try more kernels while it compiles, for minutes: only when it is named.
    """

    name: str
    model: str
    runtime: str
    precision: str
    size: tuple[int, int] | None = None
    batch: int = 1
    sampling: int | None = None
    goal: float | None = None
    times: float | None = None
    task: str = "runtime"
    tuned: bool = False


R50 = Row("", "mot17", "aotinductor", "fp16", (800, 1440))
ROWS = (  # most valuable first
    replace(R50, name="r50-aot", goal=2.5),
    replace(R50, name="r50-torch", runtime="torch", times=5.0),
    replace(R50, name="r50-tensorrt", runtime="tensorrt", goal=2.5),
    replace(R50, name="r50-aot-4", batch=4, goal=1.2),
    replace(R50, name="r50-stages", runtime="torch", task="stages"),
    replace(R50, name="r50-aot-fixed", sampling=2),
    replace(R50, name="r50-tensorrt-4", runtime="tensorrt", batch=4, goal=1.2),
    replace(R50, name="r50-aot-bf16", precision="bf16"),
    replace(R50, name="r50-torch-4", runtime="torch", batch=4),
    Row("street-aot", "street", "aotinductor", "fp16"),
    Row("qdtrack-aot", "street_qdtrack", "aotinductor", "fp16"),
    Row("qdtrack-pipeline", "street_qdtrack", "aotinductor", "fp16", task="pipeline"),
    Row("qdtrack-fitting", "street_qdtrack", "torch", "fp16", task="fitting"),
    Row("street-tensorrt", "street", "tensorrt", "fp16"),
    Row("qdtrack-tensorrt", "street_qdtrack", "tensorrt", "fp16"),
    Row("light-aot", "light", "aotinductor", "fp16"),
    Row("qdtrack-rtx", "street_qdtrack", "tensorrt_rtx", "fp16"),
    replace(R50, name="r50-torch-bf16", runtime="torch", precision="bf16"),
    replace(R50, name="r50-aot-fp32", precision="fp32"),
    replace(R50, name="r50-aot-tuned", tuned=True),
)


def on_cpu(row: Row) -> Row:
    """The same row for a CPU: small, in a precision that it has, by a runtime that it has."""
    runtime = "onnxruntime" if row.runtime.startswith("tensorrt") else row.runtime
    model = "light" if row.model == "mot17" else row.model
    return replace(
        row, model=model, runtime=runtime, precision="fp32", size=None if row.task == "fitting" else SMALL, goal=None
    )


def per_call(call: Callable[[], object]) -> list[float]:
    """Milliseconds of calls, for SECONDS in all and five at least."""
    for _ in range(3):
        call()
    begin, times = time.perf_counter(), []
    while len(times) < 5 or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def measure(row: Row, folder: Path) -> dict[str, Any]:
    """The figures of one row, in its own process."""
    checkpoint = open_model(row.model, folder, row.size, row.sampling)
    images = street_images(checkpoint, row.batch)
    if row.task == "stages":
        network = checkpoint.network()
        assert isinstance(network, QDTrack)
        return {"stages": stages_of(network, images, row.precision)}
    if row.task == "fitting":
        return {"stages": fitting_in(checkpoint.config)}
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("qdtrack_model").addHandler(handler)
    start = time.perf_counter()
    runtime = runtimes.load(checkpoint, runtimes.Options(row.runtime, row.precision, batch=row.batch))
    runtime.warm_up()
    facts: dict[str, Any] = {"build_s": time.perf_counter() - start, "memory_mb": runtime.memory / 1e6}
    facts["device"] = runtime.device
    recorded = gpu.find() is not None and row.runtime != "torch" and not any("no CUDA graph" in x for x in heard)
    facts["cuda_graph"] = "yes" if recorded else "no"
    if row.task == "pipeline":
        return facts | around(Pipeline(runtime, checkpoint_tracker(checkpoint)))
    found = runtime.infer(images)
    times = per_call(lambda: runtime.infer(images))
    runtime.close()
    facts |= {"p50_ms": float(np.median(times)), "p95_ms": float(np.percentile(times, 95))}
    facts["ms_an_image"] = facts["p50_ms"] / row.batch
    expected = exact(checkpoint, images, "cuda" if gpu.find() else "cpu")
    return facts | deviation(found, expected) | {"share": share_of(found, expected)}


def checkpoint_tracker(checkpoint: Any) -> Any:
    """The tracker that weights ask for."""
    from qdtrack_model import tracking

    return tracking.build(checkpoint.tracker)


def share_of(found: Sequence[Detections], expected: Sequence[Detections]) -> float:
    """How much of what float64 finds was found."""
    matched, _, total = deviation(found, expected)["matched"].partition(" of ")
    return int(matched) / max(1, int(total))


def around(pipeline: Pipeline) -> dict[str, Any]:
    """The whole way of decoded 720p images, and its stages."""
    scene = Scene(SceneConfig(seed=7))
    frames = [scene.frame(4 * index).image for index in range(8)]
    count = 0
    spent: list[dict[str, float]] = []

    def call() -> None:
        nonlocal count
        pipeline.process(frames[count % len(frames)], count / 10)
        spent.append(dict(pipeline.timings))
        count += 1

    times = per_call(call)
    stages = {name: 1e3 * float(np.median([one[name] for one in spent[3:]])) for name in spent[-1]}
    return {"p50_ms": float(np.median(times)), "p95_ms": float(np.percentile(times, 95)), "stages": stages}


def stages_of(network: QDTrack, images: Array, precision: str) -> dict[str, float]:
    """Milliseconds of the parts of an eager network, on a GPU between CUDA events."""
    cuda = gpu.find() is not None
    types = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    network = network.to("cuda" if cuda else "cpu", types[precision]).eval()
    source = torch.from_numpy(images)
    source = source.pin_memory() if cuda else source
    state: dict[str, Any] = {}
    clip = (images.shape[1], images.shape[2]) if network.config.clip_boxes else None
    steps: dict[str, Callable[[], Any]] = {
        "upload": lambda: source.to("cuda" if cuda else "cpu", non_blocking=True),
        "backbone": lambda: network.pyramid(state["upload"]),
        "rpn": lambda: network.rpn_head(state["backbone"]),
        "proposals": lambda: network.rpn_head.propose(*state["rpn"], clip),
        "roi_align": lambda: network.roi_head.features(state["backbone"], state["proposals"].boxes),
        "detections": lambda: network.detect(state["backbone"], state["upload"]),
        "embeddings": lambda: network.embedding_head(state["backbone"], state["detections"][0]),
    }
    spent: dict[str, list[float]] = {name: [] for name in steps}
    with torch.inference_mode():
        for _ in range(8):
            for name, step in steps.items():
                begin = clock(cuda)
                state[name] = step()
                spent[name].append(begin())
    return {name: float(np.median(times[3:])) for name, times in spent.items()}


def fitting_in(config: ModelConfig) -> dict[str, float]:
    """Milliseconds of a core that an image or a JPEG costs, by the processor or the GPU, and until it is there."""
    cv2.setNumThreads(1)  # as in the node
    street = Scene(SceneConfig(seed=7)).frame(0).image
    found: dict[str, float] = {}
    for name, size in (("720p", (1280, 720)), ("1080p", (1920, 1080))):
        images = [np.roll(cv2.resize(street, size), 100 * index, axis=1) for index in range(8)]
        jpegs = [bytes(cv2.imencode(".jpg", image)[1]) for image in images]
        there = np.empty_like(images[0])
        found[f"{name} copied"] = of_a_core(lambda index: np.copyto(there, images[index]))  # noqa: B023
        fitters: dict[str, Any] = {"by the processor": Preprocessor(config)}
        if isinstance(fit := preprocessor(config), GpuPreprocessor):
            fitters["by the GPU"] = fit
        for way, fit in fitters.items():

            def one(index: int, fit: Any = fit, images: Sequence[Array] = images) -> Any:
                return fit([images[index]])[0]

            def jpeg(index: int, fit: Any = fit, jpegs: Sequence[bytes] = jpegs) -> Any:
                picture = fit.decode(jpegs[index])
                if picture is None:
                    picture = cv2.imdecode(np.frombuffer(jpegs[index], np.uint8), cv2.IMREAD_COLOR)
                return fit([picture])[0]

            for kind, call in (("", one), (" JPEG", jpeg)):
                found[f"{name}{kind} {way}"] = of_a_core(call)
                if way == "by the GPU":
                    waiting = per_call(lambda: call(0).ready.wait())  # noqa: B023
                    found[f"{name}{kind} {way}, until it is there"] = float(np.median(waiting))
    return found


def of_a_core(call: Callable[[int], Any]) -> float:
    """Milliseconds of the processor's time that a call takes, given 0 to 7 in turn; the median of a hundred."""
    spent = []
    for index in range(110):
        begin = time.thread_time()
        call(index % 8)
        spent.append(1e3 * (time.thread_time() - begin))
    return float(np.median(spent[10:]))


def clock(cuda: bool) -> Callable[[], float]:
    """A clock that was started; calling it gives milliseconds."""
    if not cuda:
        start = time.perf_counter()
        return lambda: 1e3 * (time.perf_counter() - start)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()

    def read() -> float:
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)

    return read


def judged(row: Row, facts: dict[str, Any], capability: tuple[int, int] | None) -> str:
    """``passed``, why a row was left out, or what is wrong with it."""
    if "left_out" in facts:
        return f"left out: {facts['left_out']}"
    if "failed" in facts:
        return str(facts["failed"])
    if "share" in facts and facts["share"] < MATCHED[row.precision]:
        return f"{facts['share']:.1%} of the detections of float64, expected {MATCHED[row.precision]:.0%}"
    if row.times and capability == (9, 0) and facts.get("times_r50_aot", row.times) < row.times:
        return f"{facts['times_r50_aot']:.1f} times as long as r50-aot, which should be {row.times:g} times as fast"
    slow = row.goal is not None and capability == (9, 0) and facts["ms_an_image"] > row.goal
    return f"{facts['ms_an_image']:.2f} ms an image, expected {row.goal}" if slow else "passed"


def run(row: Row, seconds: float, device: str) -> dict[str, Any]:
    """A row's figures from a process that has so many seconds; ``failed`` where there are none."""
    environment = dict(os.environ)
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    if row.tuned:
        environment["TORCHINDUCTOR_MAX_AUTOTUNE"] = "1"
    command = [sys.executable, __file__, "--row", json.dumps(asdict(row))]
    try:
        done = subprocess.run(
            command, env=environment, timeout=seconds, capture_output=True, text=True, errors="replace", check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {seconds:.0f} s"}
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
    return {"failed": f"ended with {done.returncode}: {said[-1][:200]}"}


def work(row: Row) -> int:
    """The other side of :func:`run`: figures as the last line."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get in between
    with tempfile.TemporaryDirectory() as folder:
        if row.tuned:
            os.environ["QDTRACK_CACHE"] = folder  # apart from what everybody gets
        missing = runtimes.module_of(row.runtime).missing()
        facts = {"left_out": missing} if missing else measure(row, Path(folder))
    print(json.dumps(facts), file=channel, flush=True)
    return 0


def machine() -> dict[str, Any]:
    """What this runs on."""
    found = gpu.find()
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    for name in ("triton", "tensorrt", "tensorrt_rtx"):
        try:
            versions[name] = __import__(name).__version__
        except (ImportError, OSError):
            versions[name] = None
    facts = {"gpu": found.name, "capability": found.capability, "driver": found.driver} if found else {"gpu": None}
    return {"capability": None, "driver": None, **facts, "versions": versions}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    here = report["machine"]
    known = ", ".join(f"{name} {version}" for name, version in here["versions"].items() if version)
    lines = [f"{here['gpu'] or 'CPU'}, driver {here['driver']}, {known}; {report['seconds']:.0f} s", ""]
    keys = ("ms_an_image", "p50_ms", "p95_ms", "matched", "box_error", "score_error")
    keys += ("times_r50_aot", "cuda_graph", "build_s", "memory_mb")
    lines += ["| row | runtime | precision | size | batch | " + " | ".join(keys) + " | verdict |"]
    lines += ["|" + " --- |" * (6 + len(keys))]
    for row in report["rows"]:
        cells = [f"{row[k]:.4g}" if isinstance(row.get(k), float) else str(row.get(k, "")) for k in keys]
        size = "x".join(map(str, row["size"] or ("own",)))
        lines.append(
            f"| {row['name']} | {row['runtime']} | {row['precision']} | {size} | {row['batch']} | "
            + " | ".join(cells) + f" | {row['verdict']} |"
        )  # fmt: skip
    for row in report["rows"]:
        if "stages" in row:
            lines += ["", f"{row['name']}: " + ", ".join(f"{k} {v:.3f} ms" for k, v in row["stages"].items())]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=600, metavar="SECONDS", help="of all rows together [600]")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="[cuda]")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=[row.name for row in ROWS],
        metavar="NAME",
        help="these alone [all but r50-aot-tuned]",
    )
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.row:
        return work(Row(**{**args.row, "size": args.row["size"] and tuple(args.row["size"])}))
    if args.device == "cuda" and not torch.cuda.is_available():
        print(f"error: torch {torch.__version__} sees no GPU; --device cpu tries the script", file=sys.stderr)
        return 2
    begin = time.perf_counter()
    report: dict[str, Any] = {"machine": machine(), "rows": [], "seconds": 0.0}
    for row in (row for row in ROWS if (row.name in args.rows if args.rows else not row.tuned)):
        left = args.budget - (time.perf_counter() - begin)
        row = row if args.device == "cuda" else on_cpu(row)
        facts = (
            run(row, left if row.tuned else min(left, LONGEST), args.device)
            if left > 10
            else {"left_out": "the budget is spent"}
        )
        compiled = {one["name"]: one.get("ms_an_image") for one in report["rows"]}.get("r50-aot")
        if row.times and compiled and "ms_an_image" in facts:
            facts["times_r50_aot"] = facts["ms_an_image"] / compiled
        verdict = judged(row, facts, report["machine"]["capability"])
        report["rows"].append({**asdict(row), **facts, "verdict": verdict})
        report["seconds"] = time.perf_counter() - begin
        print(f"{row.name}: {facts.get('p50_ms', float('nan')):.2f} ms, {verdict}", flush=True)
        if args.markdown:
            args.markdown.write_text(table(report), encoding="utf-8")
        if args.json:
            args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report), end="")
    return int(any(row["verdict"] != "passed" and "left_out" not in row for row in report["rows"]))


if __name__ == "__main__":
    sys.exit(main())
