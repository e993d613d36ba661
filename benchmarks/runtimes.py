"""How fast each runtime runs each network on this machine, in one run, against eager torch and against the floor.

    python benchmarks/runtimes.py [--models street light mot17] [--runtimes onnxruntime openvino:bf16 torch]
                                  [--threads 2] [--rounds 20] [--batch 1] [--size 480x800] [--sampling 2]
                                  [--numerics] [--profile] [--markdown FILE] [--json FILE]

A model is the name of shipped weights, a file of weights, an exported graph, or a preset, whose weights are seeded
then: speed does not depend on what a network has learned. Every runtime works in a process of its own, and they take
turns, so that a change in the machine's speed meets all alike. The same command measures a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from costs import costs_of
from floor import peaks, work_of
from models import deviation, exact, open_model, resized, street_images
from sides import sides
from tables import markdown

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.config import ConfigError, QDTrackConfig
from qdtrack_model.runtimes import gpu
from qdtrack_model.structures import Detections

BURST = 10  # calls of a turn on a GPU, after one that wakes it up


class Worker:
    """A process with one loaded runtime, or with torchvision's detector, that works when told to."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        command = [sys.executable, __file__, "--worker", json.dumps(job)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts: dict[str, Any] = self._answer()
        self.seconds: list[float] = []

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": "its process ended without a word, see above"}

    def ask(self, what: str) -> Any:
        """Have it do ``seconds`` or ``costs``; see :func:`work`."""
        assert self._process.stdin
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise SystemExit(f"{self.job['model']}, {self.job['runtime']} {self.job['precision']}: {answer['error']}")
        return answer[what]

    def close(self) -> None:
        self._process.communicate()


def work(job: dict[str, Any]) -> None:
    """The other side of :class:`Worker`: facts first, then the times of some calls, or their costs, for each line."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not get in between
    try:
        call, facts = _load_torchvision(job) if job["runtime"] == "torchvision" else _load(job)
    except (RuntimeError, ValueError, MemoryError) as error:
        print(json.dumps({"error": str(error).splitlines()[0]}), file=channel)
        return
    print(json.dumps(facts), file=channel)
    tasks = {"seconds": lambda: seconds_of(call), "costs": lambda: costs_of(call)}
    for line in sys.stdin:
        what = line.strip()
        print(json.dumps({what: tasks[what]()}), file=channel)


def seconds_of(call: Callable[[], object]) -> list[float]:
    """What calls took: one, or on a GPU several in a row, since it slows down while it waits for its turn."""
    seconds = []
    for _ in range(1 + BURST if gpu.find() else 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds[1:] or seconds


def _load(job: dict[str, Any]) -> tuple[Callable[[], object], dict[str, Any]]:
    checkpoint = resized(checkpoints.load(job["path"]), tuple(job["size"]))
    images = np.load(job["images"])
    options = runtimes.Options(job["runtime"], job["precision"], job["threads"], job["batch"])
    start = time.perf_counter()
    runtime = runtimes.load(checkpoint, options)
    runtime.warm_up()
    facts = {"first_frame_s": time.perf_counter() - start, "memory_mb": runtime.memory / 1e6, "device": runtime.device}
    found = runtime.infer(images)
    facts["found"] = [[x.tolist() for x in (one.boxes, one.scores, one.labels)] for one in found]
    return lambda: runtime.infer(images), facts


def _load_torchvision(job: dict[str, Any]) -> tuple[Callable[[], object], dict[str, Any]]:
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    height, width = job["size"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(job["threads"])
    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=height, max_size=width)
    network = network.eval().to(device)
    images = [torch.rand(3, height, width, device=device) for _ in range(job["batch"])]

    @torch.inference_mode()
    def infer() -> object:
        return [found["scores"].cpu() for found in network(images)]

    infer()
    return infer, {}


def torchvision_lacks() -> str | None:
    """Why torchvision's detector cannot be the reference, or None where it can."""
    try:
        import torchvision.models.detection  # noqa: F401
    except (ImportError, RuntimeError) as error:  # RuntimeError: made for another torch
        return str(error).splitlines()[0]
    return None


def started(job: dict[str, Any], checkpoint: Checkpoint) -> Worker | None:
    """A worker whose first frame came from a warm cache, or None, with the reason printed."""
    what = f"{job['model']}, {job['runtime']} {job['precision']}"
    print(f"loading {what}", file=sys.stderr)
    if job["runtime"] != "torchvision":
        options = runtimes.Options(job["runtime"], job["precision"], job["threads"], job["batch"])
        try:
            runtimes.load(checkpoint, options).close()  # fills the cache
        except (RuntimeError, ValueError, MemoryError) as error:
            print(f"left out: {what}: {str(error).splitlines()[0]}")
            return None
    worker = Worker(job)
    if "error" not in worker.facts:
        return worker
    worker.close()
    print(f"left out: {what}: {worker.facts['error']}")
    return None


def wanted(names: Sequence[str] | None, checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Runtimes and precisions: those named, as NAME or NAME:PRECISION, or all that can run here.

    The precision is by default that of the file where it is a graph, otherwise the runtime's own choice.
    """
    if names is None:
        names = [name for name in runtimes.RUNTIMES if runtimes.module_of(name).missing() is None]
    pairs = [(name, precision) for name, _, precision in (text.partition(":") for text in names)]
    own = checkpoint.graph.precision if checkpoint.graph else None
    return [(name, precision or own or runtimes.module_of(name).PRECISIONS[0]) for name, precision in pairs]


def row_of(
    worker: Worker, workers: Sequence[Worker], work: tuple[int, int] | None, peak: dict[str, float]
) -> dict[str, Any]:
    """The line of the table of one runtime and model."""
    job = worker.job
    median, late = np.percentile(worker.seconds, [50, 95]) * 1e3
    row: dict[str, Any] = {key: job[key] for key in ("model", "size", "batch", "runtime", "precision")}
    row |= {"p50_ms": median, "p95_ms": late, "images_per_second": 1e3 * job["batch"] / median}
    row |= {key: worker.facts[key] for key in ("device", "memory_mb", "first_frame_s") if key in worker.facts}
    for name in ("torch", "torchvision"):
        others = [
            other for other in workers
            if other.job["runtime"] == name and other.job["size"] == job["size"]
            and other.job["model"] in (job["model"], "Faster R-CNN")
        ]  # fmt: skip
        # In the same precision where there is one, in the first otherwise.
        others.sort(key=lambda other: other.job["precision"] != job["precision"])
        if others:
            row[f"vs_{name}"] = float(np.median(others[0].seconds)) * 1e3 / median
    if work and job["precision"] in peak and on_gpu(job["runtime"]) == torch.cuda.is_available():
        operations, values = work
        moved = values * (4 if job["precision"] == "fp32" else 2)
        floor = 1e3 * max(operations / peak[job["precision"]], moved / peak["copy"])
        row |= {"gflop": operations / 1e9, "moved_mb": moved / 1e6, "floor_ms": floor, "floor_share": floor / median}
    return row


def on_gpu(runtime: str) -> bool:
    """Whether a runtime computes on a GPU here; peaks are measured where torch computes."""
    return gpu.find() is not None and runtime in (*runtimes.ON_GPU, "torchvision")


def machine(threads: int) -> str:
    """What this was measured on."""
    found = gpu.find()
    return f"{found.name if found else f'CPU, {threads} threads'}, torch {torch.__version__}"


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, as it is written to JSON."""
    torch.set_num_threads(args.threads)
    lacks = torchvision_lacks()
    notes = [f"torchvision's Faster R-CNN takes no part: {lacks}"] if lacks else []
    workers: list[Worker] = []
    work: dict[str, tuple[int, int]] = {}
    references: dict[str, list[Detections]] = {}
    for number, model in enumerate(args.models):
        checkpoint = open_model(model, folder, args.size, args.sampling)
        images, shown = street_images(checkpoint, args.batch), folder / f"images-{number}.npy"
        np.save(shown, images)
        if checkpoint.graph is None:
            work[model] = work_of(checkpoint, images)
        if checkpoint.graph is None and args.numerics:
            references[model] = exact(checkpoint, images)
        job = {"path": str(checkpoint.path), "size": list(checkpoint.config.input_size)}
        job |= {"batch": args.batch, "threads": args.threads, "images": str(shown)}
        pairs = wanted(args.runtimes, checkpoint)
        jobs = [{**job, "model": model, "runtime": runtime, "precision": precision} for runtime, precision in pairs]
        known = any((w.job["runtime"], w.job["size"]) == ("torchvision", job["size"]) for w in workers)
        if isinstance(checkpoint.config, QDTrackConfig) and not lacks and not known:
            jobs.append({**job, "model": "Faster R-CNN", "runtime": "torchvision", "precision": "fp32"})
        workers += [worker for job in jobs if (worker := started(job, checkpoint))]
    peak = peaks(sorted({worker.job["precision"] for worker in workers}))
    for step in range(args.rounds + 1):
        for worker in workers:
            time.sleep(0.02)  # the threads of the last one still spin for a moment
            seconds = worker.ask("seconds")
            worker.seconds += seconds if step > 0 else []
    rows = []
    for worker in workers:
        costs = {"costs": worker.ask("costs")} if args.profile else {}
        worker.close()
        row = costs | row_of(worker, workers, work.get(worker.job["model"]), peak)
        if worker.job["model"] in references:
            found = [Detections(*one, np.empty((len(one[0]), 0))) for one in worker.facts["found"]]
            row |= deviation(found, references[worker.job["model"]])
        rows.append(row)
    return {"machine": machine(args.threads), "rounds": args.rounds, "peak": peak, "notes": notes, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["street", "light", "mot17"])
    parser.add_argument(
        "--runtimes", nargs="+", metavar="NAME[:PRECISION]", help="all that can run here when not given"
    )
    parser.add_argument("--threads", type=int, default=runtimes.usable_cores())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--sampling", type=int, help="of presets' RoIAlign, 0 adaptive [theirs]; torchvision's is 2")
    parser.add_argument("--size", type=sides, metavar="HEIGHTxWIDTH", help="instead of the models' own input sizes")
    parser.add_argument("--numerics", action="store_true", help="compare detections with the network in float64")
    parser.add_argument("--profile", action="store_true", help="say what the time of each goes into")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.worker:
        work(args.worker)
        return 0
    for name in args.models:
        if name not in checkpoints.SHIPPED and not Path(name).is_file():
            try:
                read_preset(name)
            except ConfigError as error:
                shipped = ", ".join(checkpoints.SHIPPED)
                parser.error(f"--models: {error}; or shipped weights ({shipped}), or a file of weights or a graph")
    with tempfile.TemporaryDirectory() as folder:
        report = measure(args, Path(folder))
    text = markdown(report)
    print(text, end="")
    if args.markdown:
        args.markdown.write_text(text, encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
