"""What the paper's way of learning embeddings is worth: quasi-dense against sparse matching, with and without the
auxiliary loss, and the tracker's metrics.

    python benchmarks/ablation.py --weights DETECTOR.safetensors --data TRAINING --scenes HELD_OUT --output DIR

A trained QDTrack gives the detector, which stays as it is. Its embedding head is trained afresh in every way with every
seed; all ways of a seed begin with the same head and see the same pairs. Boxes do not depend on the head, so that the
detector looks at each held-out frame once, for all heads together. What is in DIR is not done again: the same command
goes on after Ctrl-C, and more seeds or other scenes add what is missing. A scene is known by the name of its folder.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from long_run import finish
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from qdtrack_model import checkpoints
from qdtrack_model.atomic import atomic_write
from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.checkpoints.tensors import fill
from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.config import QDTrackConfig, QuasiDenseConfig, to_mapping
from qdtrack_model.data.detections import SceneDetections
from qdtrack_model.data.loading import find_sets, load_sets
from qdtrack_model.data.readers.mot import MotBoxes, class_columns, from_tracks, join, read_mot
from qdtrack_model.data.sources import open_source
from qdtrack_model.evaluation.scores import combine, evaluate
from qdtrack_model.fitting import Preprocessor
from qdtrack_model.networks import QDTrack, build
from qdtrack_model.networks.embedding import EmbeddingHead
from qdtrack_model.runtimes import to_detections
from qdtrack_model.structures import Array
from qdtrack_model.tracking import QuasiDenseTracker
from qdtrack_model.training.config import QDTrackTraining, read_recipe
from qdtrack_model.training.loop import train

RECIPE = Path(__file__).parents[1] / "config" / "training" / "light.yaml"
PAPER: dict[str, Any] = {"matching": "quasi_dense", "contrastive_weight": 0.25, "auxiliary_weight": 1.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "quasi-dense": PAPER,
    "sparse": {**PAPER, "matching": "sparse"},
    "no-auxiliary": {**PAPER, "auxiliary_weight": 0.0},
}
METRICS: tuple[Literal["bisoftmax", "softmax", "cosine"], ...] = ("bisoftmax", "softmax", "cosine")
COLUMNS = {"MOTA": ("mota", 100), "IDF1": ("idf1", 100), "HOTA": ("hota", 100), "IDSw": ("id_switches", 1)}
PAPER_TRACKER: dict[str, Any] = {"motion": "none", "recover_iou": 0.0}  # appearance alone
TRACKERS = {
    "paper": "Appearance alone, as in the paper (`motion: none`, `recover_iou: 0`), with the thresholds of the weights",
    "weights": "The tracker as tuned for the weights",
}


def head_path(folder: Path, head: str) -> Path:
    """Where a trained embedding head is."""
    return folder / "heads" / f"{head}.safetensors"


def detections_path(folder: Path, scene: str, head: str) -> Path:
    """Where the detections of a scene with the embeddings of a head are."""
    return folder / "detections" / scene / f"{head}.npz"


def train_heads(args: argparse.Namespace, checkpoint: Checkpoint, heads: Mapping[str, QDTrackTraining]) -> None:
    """Train the heads, by name with the recipe of each, that are not there yet."""
    missing = [head for head in heads if not head_path(args.output, head).exists()]
    print(f"{len(heads)} embedding heads, {len(missing)} of them to be trained for {args.steps} steps")
    if not missing:
        return
    model = heads[missing[0]].model
    sets = load_sets(find_sets(args.data, heads[missing[0]].data), model, heads[missing[0]].data)
    for number, head in enumerate(missing, start=1):
        print(f"head {number} of {len(missing)}: {head}", flush=True)
        path = head_path(args.output, head)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(heads[head].seed)
        fresh, network = build(model), checkpoint.network()
        assert isinstance(fresh, QDTrack) and isinstance(network, QDTrack)
        network.embedding_head = fresh.embedding_head
        state = path.with_suffix(".state.pt")
        trained = train(heads[head], sets, network, state, torch.device(args.device), resume=True)
        with atomic_write(path) as partial:
            save_file({name: t.contiguous() for name, t in trained.embedding_head.state_dict().items()}, partial)
        state.unlink()


@torch.inference_mode()
def detect(network: QDTrack, heads: Mapping[str, EmbeddingHead], folder: Path) -> dict[str, SceneDetections]:
    """The detections of a scene by name of the head that embeds them; the boxes are the same in all."""
    preprocess = Preprocessor(network.config)
    scenes = {name: SceneDetections([], [], []) for name in heads}
    with open_source(folder) as source, tqdm(source, total=source.length, desc=folder.name, unit="frame") as frames:
        for frame in frames:
            batch, [letterbox] = preprocess([frame.image])
            images = torch.from_numpy(batch).to(network.mean.device)
            pyramid = network.pyramid(images)
            found = network.detect(pyramid, images)
            count = int((found[1][0] > network.config.score_floor).sum())  # best first
            arrays: list[Array] = [rows[0, :count].cpu().numpy() for rows in found]
            for name, head in heads.items():
                embeddings = head(pyramid, found[0][:, :count])[0].cpu().numpy()
                detections = letterbox.to_source(to_detections([*arrays, embeddings], network.config.score_floor))
                scenes[name].frames.append(frame.index)
                scenes[name].times.append(frame.time)
                scenes[name].detections.append(detections)
    return scenes


def detect_scenes(
    args: argparse.Namespace, checkpoint: Checkpoint, names: Iterable[str], scenes: Mapping[str, Path]
) -> None:
    """Detect in the scenes, and embed with the heads of these names, what is not there yet."""
    network = checkpoint.network().to(args.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads: dict[str, EmbeddingHead] = {}
    for head in names:
        path = head_path(args.output, head)
        heads[head] = copy.deepcopy(network.embedding_head)
        fill(heads[head], load_file(path), str(path))
    for name, folder in scenes.items():
        places = {head: detections_path(args.output, name, head) for head in heads}
        missing = {head: heads[head] for head, path in places.items() if not path.exists()}
        if missing:
            for head, found in detect(network, missing, folder).items():
                found.save(places[head])


def track(scene: SceneDetections, config: QuasiDenseConfig, columns: Array) -> MotBoxes:
    """The tracks of a scene."""
    tracker = QuasiDenseTracker(config)
    rows = zip(scene.frames, scene.times, scene.detections, strict=True)
    return join([from_tracks(tracker.update(found, time), frame, columns) for frame, time, found in rows])


def score(
    args: argparse.Namespace, checkpoint: Checkpoint, heads: Iterable[str], scenes: Mapping[str, Path]
) -> dict[str, Any]:
    """Track and score what is not there yet; the scores of all scenes together by ``tracker/metric/head``."""
    output = args.output / "ablation.json"
    stored = json.loads(output.read_text()) if output.exists() else {}
    scores = stored["scores"] if stored.get("scenes") == list(scenes) else {}
    truths = {name: read_mot(folder / "gt" / "gt.txt") for name, folder in scenes.items()}
    trackers = {"paper": replace(checkpoint.tracker, **PAPER_TRACKER), "weights": checkpoint.tracker}
    for head in tqdm(heads, desc="tracking", unit="head"):
        missing = [(t, m) for t in trackers for m in METRICS if f"{t}/{m}/{head}" not in scores]
        if not missing:
            continue
        found = {name: SceneDetections.load(detections_path(args.output, name, head)) for name in scenes}
        for tracker, metric in missing:
            config = replace(trackers[tracker], metric=metric)
            tracks = {name: track(scene, config, class_columns(checkpoint.config)) for name, scene in found.items()}
            together = combine([evaluate(truths[name], boxes) for name, boxes in tracks.items()])
            scores[f"{tracker}/{metric}/{head}"] = together.to_mapping()
        output.write_text(json.dumps({"scenes": list(scenes), "scores": scores}, indent=1) + "\n")
    return scores


def cell(values: Sequence[float]) -> str:
    """Mean, and lowest and highest where there are several."""
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f}..{max(values):.1f})"


def table(scores: Mapping[str, Any], tracker: str, seeds: Sequence[int]) -> str:
    """The scores of one tracker as Markdown."""
    lines = ["| Training | Metric | " + " | ".join(COLUMNS) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    for variant in VARIANTS:
        for metric in METRICS:
            runs = [scores[f"{tracker}/{metric}/{variant}-{seed}"] for seed in seeds]
            cells = [cell([scale * run[key] for run in runs]) for key, scale in COLUMNS.values()]
            lines.append(f"| {variant} | {metric} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(args: argparse.Namespace, recipe: QDTrackTraining, scenes: Iterable[str], scores: Mapping[str, Any]) -> str:
    """Everything as Markdown."""
    seeds = ", ".join(map(str, args.seeds))
    head = (
        f"Detector: `{args.weights.name}`, frozen. Embedding heads trained afresh, {recipe.steps} steps of "
        f"{recipe.batch} pairs, seeds {seeds}. Scored on {', '.join(scenes)} together. Each cell: mean "
        "(lowest..highest) over the seeds."
    )
    parts = [f"{text}:\n\n{table(scores, tracker, args.seeds)}" for tracker, text in TRACKERS.items()]
    return "\n\n".join([head, *parts]) + "\n"


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keep in ``folder`` what its heads are trained from; raise ValueError where that was something else."""
    path, text = folder / "settings.json", json.dumps(settings, indent=1) + "\n"
    if path.exists() and path.read_text() != text:
        raise ValueError(
            f"--output {folder}: holds heads of another detector, recipe or data ({path.name}); name another"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(args: argparse.Namespace) -> None:
    """Train, detect, track, score, write the tables."""
    checkpoint, recipe = checkpoints.load(args.weights), read_recipe(args.config)
    if not isinstance(checkpoint.config, QDTrackConfig):
        raise ValueError(f"--weights {args.weights}: holds another network, expected a QDTrack")
    if not isinstance(recipe, QDTrackTraining):
        raise ValueError(f"--config {args.config}: expected a recipe with `architecture: qdtrack`")
    warm_up = min(recipe.warm_up, args.steps // 10)  # the recipe's is meant for a training from scratch
    recipe = replace(
        recipe, model=checkpoint.config, epochs=None, steps=args.steps, warm_up=warm_up, freeze_detector=True
    )
    heads = {f"{v}-{seed}": replace(recipe, seed=seed, **VARIANTS[v]) for seed in args.seeds for v in VARIANTS}
    training, held_out = (find_sets(paths, recipe.data) for paths in (args.data, args.scenes))
    scenes = {folder.resolve().name: folder for folder in held_out}
    if len(scenes) < len(held_out):
        raise ValueError("--scenes: two of them have one name; rename one")
    if seen := {folder.resolve() for folder in training} & {folder.resolve() for folder in held_out}:
        raise ValueError(f"--scenes {seen.pop()}: is among the training scenes")
    data = [folder.resolve().name for folder in training]
    check_settings(args.output, {"weights": checkpoint.digest, "data": data, "recipe": to_mapping(recipe)})
    train_heads(args, checkpoint, heads)
    detect_scenes(args, checkpoint, heads, scenes)
    text = report(args, recipe, scenes, score(args, checkpoint, heads, scenes))
    (args.output / "ablation.md").write_text(text)
    print(f"\n{text}\nwrote {args.output / 'ablation.md'} and {args.output / 'ablation.json'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with these arguments, or those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--weights", type=Path, required=True, help="a trained QDTrack (.safetensors)")
    add("--data", type=Path, nargs="+", required=True, help="MOTChallenge folders to train on, or folders of them")
    add("--scenes", type=Path, nargs="+", required=True, help="the same to track and score, seen by no training")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of heads, detections, ablation.md and .json")
    add("--config", type=Path, default=RECIPE, help="recipe: pairs, batch, rate")
    add("--steps", type=positive_integer, default=1000, help="of each head [1000]")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="[0 1 2]")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    return finish("ablation", parser, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
