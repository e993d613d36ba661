"""``qdtrack synthesize``: street scenes as MOTChallenge folders or as bags."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import cv2
from tqdm import tqdm

from qdtrack_model.atomic import atomic_write
from qdtrack_model.config import require
from qdtrack_model.synthetic.config import CAMERAS, SceneConfig
from qdtrack_model.synthetic.scene import Scene
from qdtrack_model.synthetic.writer import write_scene_bag, write_sequence


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected WIDTHxHEIGHT such as 1280x720")
    return int(width), int(height)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``qdtrack synthesize``."""
    parser.add_argument("--output", type=Path, required=True, help="folder to write; must not exist or be empty")
    parser.add_argument("--seed", type=int, default=9, help="layout, light, camera and objects follow from it")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--frame-rate", type=float, default=25.0, help="frames per second")
    parser.add_argument("--size", type=_size, default=(1280, 720), metavar="WIDTHxHEIGHT")
    parser.add_argument("--pedestrians", type=int, default=16, help="how many appear [16]")
    parser.add_argument("--vehicles", type=int, default=5, help="how many appear [5]")
    parser.add_argument("--camera", choices=CAMERAS, default="gentle", help="how it moves [gentle]")
    parser.add_argument("--format", choices=("folder", "bag"), default="folder", help="MOTChallenge folder or rosbag2")
    parser.add_argument(
        "--sequences", type=int, default=1,
        help="write this many, with consecutive seeds, as OUTPUT/street-SEED (1: OUTPUT is the sequence itself)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="sequences rendered at the same time")


def _write(config: SceneConfig, target: Path, form: str, progress: Callable[[], object] | None = None) -> int:
    """Write one sequence, whole or not at all; returns its number of frames."""
    cv2.setNumThreads(1)  # several sequences share the processor
    scene = Scene(config)
    with atomic_write(target) as folder:
        if form == "bag":
            write_scene_bag(scene, folder, progress)
        else:
            write_sequence(scene, folder, progress)
    return config.frames


def main(args: argparse.Namespace) -> int:
    """Run ``qdtrack synthesize``.

    Raises:
        ConfigError: an argument is out of range.
        FileExistsError: the output is there already.
    """
    require(1 <= args.sequences <= 10_000, "--sequences", args.sequences, "1..10000")
    require(args.workers >= 1, "--workers", args.workers, "1 or more")
    jobs = []
    for number in range(args.sequences):
        seed = args.seed + number
        config = SceneConfig(
            seed, args.frames, args.frame_rate, args.size, args.pedestrians, args.vehicles, args.camera
        )
        jobs.append((config, args.output / f"street-{seed:04d}" if args.sequences > 1 else args.output))
    for path in [args.output] + [target for _, target in jobs]:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(f"{path}: is there already and not empty; choose another --output or remove it")
    workers = min(args.workers, len(jobs))
    with tqdm(total=args.frames * len(jobs), unit="frame", desc="synthesize") as bar:
        if workers == 1:
            for config, target in jobs:
                _write(config, target, args.format, lambda: bar.update(1))
            return 0
        # Fresh processes: threads of OpenCV do not survive a fork.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(_write, config, target, args.format) for config, target in jobs]
            try:
                for future in as_completed(futures):
                    bar.update(future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return 0
