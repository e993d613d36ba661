"""How fast a training is fed, against what a GPU takes.

    python benchmarks/feeding.py [--workers N]

A MOTChallenge sequence of textured frames as large as MOT17's (1920x1080, JPEG) is written into a temporary folder, and
batches of the recipe are drawn from it as `qdtrack train` draws them: decoded, scaled, cropped, recoloured, stacked.
With workers it is the time until batches arrive; without, that of one core, whatever else it had to do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.data.loading import load_sets
from qdtrack_model.training.batches import load_batches
from qdtrack_model.training.config import read_recipe
from qdtrack_model.training.steps import step_for

RECIPE = Path(__file__).parents[1] / "config" / "training" / "mot17.yaml"
SIZE = (1920, 1080)  # width, height
FRAMES, PEOPLE = 30, 20


def write_sequence(folder: Path) -> None:
    """A view that moves over a textured ground, with people's boxes on it."""
    random = np.random.default_rng(0)
    for name in ("img1", "gt"):
        (folder / name).mkdir(parents=True)
    ground = cv2.resize(
        random.integers(0, 255, (60, 106, 3), np.uint8), None, fx=20, fy=20, interpolation=cv2.INTER_CUBIC
    )
    left, top = random.integers(0, (SIZE[0] - 150, SIZE[1] - 300), (PEOPLE, 2)).T.tolist()
    rows = []
    for frame in range(1, FRAMES + 1):
        view = ground[frame : frame + SIZE[1], 4 * frame : 4 * frame + SIZE[0]]
        cv2.imwrite(str(folder / "img1" / f"{frame:06d}.jpg"), view, [cv2.IMWRITE_JPEG_QUALITY, 90])
        rows += [f"{frame},{i + 1},{left[i] + frame},{top[i]},80,200,1,1,1" for i in range(PEOPLE)]
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname=moving\nimDir=img1\nframeRate=30\nseqLength={FRAMES}\nimWidth={SIZE[0]}\n"
        f"imHeight={SIZE[1]}\nimExt=.jpg\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Draw batches and print how fast they come."""
    parser = argparse.ArgumentParser(description="How fast a training is fed, against what a GPU takes.")
    add = parser.add_argument
    add("--recipe", type=Path, default=RECIPE, help=f"[{RECIPE.name}]")
    add("--batches", type=positive_integer, default=10)
    add("--workers", type=int, default=0, help="processes that prepare batches [0: this one]")
    add("--steps-per-second", type=float, default=5.0, help="what the GPU takes [5]")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    config = read_recipe(args.recipe)
    clock = time.perf_counter if args.workers else time.process_time
    with tempfile.TemporaryDirectory() as folder:
        write_sequence(Path(folder) / "moving")
        sets = load_sets([Path(folder) / "moving"], config.model, config.data)
        warm_up = max(1, args.workers)  # what has been prepared beforehand
        batches = load_batches(config, step_for(config, sets), range(warm_up + args.batches), workers=args.workers)
        shape = next(batches).images.shape
        for _ in range(warm_up - 1):
            next(batches)
        start = clock()
        views = sum(len(batch.images) for batch in batches)
        seconds = clock() - start
    wanted = args.steps_per_second * 2 * config.batch
    where = f"{args.workers} workers" if args.workers else "one core"
    print(f"{args.recipe.name}: {config.batch} pairs of {shape[2]}x{shape[1]} a step, frames of {SIZE[0]}x{SIZE[1]}")
    print(f"{where}: {views / seconds:.0f} views/s, {1e3 * seconds / views:.1f} ms each")
    print(f"{args.steps_per_second:g} steps/s want {wanted:.0f} views/s: {wanted * seconds / views:.1f} times as much")


if __name__ == "__main__":
    main()
