"""Does joint training on still images help, as QDTrack's table for MOT17 says of CrowdHuman?

    python benchmarks/joint_stills.py --output DIR

Its recipe for MOT17, scaled down, on the synthetic street: sequences whose first halves are learned and whose second
halves are tracked, with and without still images of other, more crowded streets, which have boxes and no identities:
a pair is two views of one of them. Both ways of a seed begin with the same weights and have equally many steps; images
of both kinds are drawn alike, as of one data set. What is in DIR is not done again: the same command goes on after
Ctrl-C or a kill, inside a training too, and more seeds add what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from long_run import finish
from tqdm import tqdm

from qdtrack_model import checkpoints
from qdtrack_model.atomic import atomic_write
from qdtrack_model.commands.arguments import key_values, positive_integer
from qdtrack_model.config import to_mapping
from qdtrack_model.data.held_out import load_held_out
from qdtrack_model.data.loading import DataConfig, SetConfig, find_sets, load_sets
from qdtrack_model.evaluation.scores import combine
from qdtrack_model.networks import build
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.synthetic import SceneConfig
from qdtrack_model.synthetic.scene import Scene
from qdtrack_model.synthetic.writer import write_sequence
from qdtrack_model.training.config import QDTrackTraining, read_recipe
from qdtrack_model.training.loop import train
from qdtrack_model.validation import validate

RECIPE = Path(__file__).parents[1] / "config" / "training" / "mot17.yaml"
SCALED_DOWN: dict[str, Any] = {
    # The backbone of the weights `street_qdtrack` in the place of a detector of COCO's persons; all else begins afresh.
    "model.depth": 18, "model.style": "pytorch", "model.channel_order": "rgb",
    "model.mean": [123.675, 116.28, 103.53], "model.deviation": [58.395, 57.12, 57.375],
    "model.input_size": [288, 512], "model.channels": 64, "model.head_width": 128, "model.embedding_size": 64,
    "model.sampling": 1, "model.proposals_per_level": 150, "model.proposals": 150,
    "pairs.crop_size": [192, 320], "pairs.reference_range": 3,  # at 10 frames a second what 10 are at 30
    "anchor_samples": 128, "box_samples": 96, "region_samples": 48,
    "epochs": None, "batch": 2, "milestones": [], "warm_up": 30,
    "optimizer": "adamw", "learning_rate": 4e-4, "weight_decay": 0.02, "gradient_clip": 10.0, "ema_decay": 0.98,
    "tracker.init_score": 0.5, "tracker.object_score": 0.3,  # after so short a training nothing scores .9
}  # fmt: skip
HALF = DataConfig(others=SetConfig(half=True))
SIZE = (1024, 576)
SEQUENCES = [SceneConfig(seed, 60, 10.0, SIZE, pedestrians=14, vehicles=2) for seed in range(600, 605)]
CROWDS = [SceneConfig(seed, 8, 0.25, SIZE, pedestrians=40, vehicles=2) for seed in range(700, 720)]
WAYS = ("sequences", "sequences and stills")
PUBLISHED = {"sequences": (68.2, 68.5, 57.1), "sequences and stills": (71.7, 71.6, 59.1)}  # MOT17; and CrowdHuman
COLUMNS = {"MOTA": ("mota", 100), "IDF1": ("idf1", 100), "HOTA": ("hota", 100), "IDSw": ("id_switches", 1),
           "FP": ("false_positives", 1), "FN": ("false_negatives", 1)}  # fmt: skip


def rendered(folder: Path, scenes: Sequence[SceneConfig]) -> list[Path]:
    """The scenes, made where they are not there yet."""
    paths = [folder / f"street-{scene.seed}" for scene in scenes]
    for path, scene in zip(tqdm(paths, desc=folder.name, unit="scene"), scenes, strict=True):
        if not path.exists():
            with atomic_write(path) as partial:
                write_sequence(Scene(scene), partial, None)
    return paths


def trained(path: Path, recipe: QDTrackTraining, sequences: Sequence[Path], stills: Sequence[Path]) -> None:
    """Train on the first halves of sequences, and on stills, into the weights at ``path``."""
    if path.exists():
        return
    sets = load_sets(find_sets(sequences, HALF), recipe.model, HALF)
    if stills:
        sets += [replace(part, still=True) for part in load_sets(stills, recipe.model, DataConfig())]
    torch.manual_seed(recipe.seed)
    network, start = build(recipe.model), checkpoints.load(checkpoints.resolve("street_qdtrack")).network()
    backbone = {name: t for name, t in start.state_dict().items() if name.startswith("backbone.")}
    network.load_state_dict(backbone, strict=False)
    state = path.with_suffix(".state.pt")
    done = train(recipe, sets, network, state, torch.device("cpu"), resume=True)
    checkpoints.save(path, done, recipe.model, recipe.tracker, {"seed": recipe.seed, "steps": recipe.steps})
    state.unlink()


def scored(path: Path, weights: Path, recipe: QDTrackTraining, sequences: Sequence[Path]) -> dict[str, Any]:
    """The scores of the second halves of all sequences together."""
    if not path.exists():
        held_out = load_held_out(find_sets(sequences, HALF), recipe.model, HALF)
        pipeline = Pipeline.load(weights, Options("torch", threads=torch.get_num_threads()))
        together = combine(list(validate(pipeline, held_out).sequences.values()))
        pipeline.close()
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(together.to_mapping(), indent=1) + "\n", encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def cell(values: Sequence[float]) -> str:
    """Mean, and lowest and highest where there are several."""
    mean = f"{np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f}..{max(values):.1f})"


def report(recipe: QDTrackTraining, scores: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """The table, and what stills are worth in each seed that has both ways."""
    rows = [
        "| Learned | " + " | ".join(COLUMNS) + " | published MOTA | IDF1 | HOTA |",
        "|---" * (4 + len(COLUMNS)) + "|",
    ]
    for way, runs in scores.items():
        values = ([scale * run[key] for run in runs.values()] for key, scale in COLUMNS.values())
        cells = [cell(column) if column else "-" for column in values]
        rows.append(f"| {way} | " + " | ".join((*cells, *map(str, PUBLISHED[way]))) + " |")
    gains = []
    for name, (key, scale) in list(COLUMNS.items())[:3]:
        without, joint = (scores[way] for way in WAYS)
        both = [scale * (joint[seed][key] - without[seed][key]) for seed in joint if seed in without]
        gains.append(f"{name} {', '.join(f'{gain:+.1f}' for gain in both) or '-'}")
    head = f"{recipe.steps} steps of {recipe.batch} pairs; mean (lowest..highest) of the seeds that are done."
    return "\n".join([head, "", *rows, "", f"What stills add, seed by seed: {'; '.join(gains)}."]) + "\n"


def check_settings(folder: Path, recipe: QDTrackTraining) -> None:
    """Keep in ``folder`` what its runs are trained by; raise ValueError where that was something else."""
    path, text = folder / "settings.json", json.dumps(to_mapping(replace(recipe, seed=0)), indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(text)
    elif path.read_text() != text:
        raise ValueError(f"--output {folder}: holds runs of another recipe ({path.name}); name another folder")


def run(args: argparse.Namespace) -> None:
    """Do what is missing, seed by seed, and write the table after every run."""
    changes = {**SCALED_DOWN, "steps": args.steps, **key_values(args.changes, "joint_stills")}
    recipe = read_recipe(RECIPE, changes)
    assert isinstance(recipe, QDTrackTraining)
    check_settings(args.output, recipe)
    count = args.scenes or len(CROWDS)
    sequences = rendered(args.output / "sequences", SEQUENCES[:count])
    stills = rendered(args.output / "stills", CROWDS[:count])
    scores: dict[str, dict[int, dict[str, Any]]] = {way: {} for way in WAYS}
    for seed in args.seeds:
        for way, extra in zip(WAYS, ([], stills), strict=True):
            print(f"seed {seed}: {way}", flush=True)
            weights = args.output / f"{way.replace(' ', '_')}-{seed}.safetensors"
            trained(weights, replace(recipe, seed=seed), sequences, extra)
            scores[way][seed] = scored(weights.with_suffix(".json"), weights, recipe, sequences)
            (args.output / "joint_stills.md").write_text(report(recipe, scores), encoding="utf-8")
    print(f"\n{report(recipe, scores)}\nwrote {args.output / 'joint_stills.md'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with these arguments, or those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("changes", nargs="*", metavar="KEY=VALUE", help="of the scaled recipe, for another machine: batch=16")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of scenes, weights, scores, joint_stills.md")
    add("--steps", type=positive_integer, default=300, help="of each training [300]")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="[0 1 2]")
    add("--scenes", type=positive_integer, help="so many sequences and streets of stills at most, for a trial")
    return finish("joint_stills", parser, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
