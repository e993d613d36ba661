"""``qdtrack study one-shot``: which published conclusions on one-shot tracking hold on equal terms."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.commands.network import add_device_argument, chosen_device
from qdtrack_model.data.loading import find_sets
from qdtrack_model.study.report import KINDS, write_page
from qdtrack_model.study.runs import Data, Study, jobs, street
from qdtrack_model.study.ways import FULL, REDUCED, Terms, data_config

PHOTOS = ("coco", "coco_person", "manaus")  # sets in which every person has a box


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``qdtrack study``."""
    add = parser.add_argument
    add("study", choices=("one-shot",), help="which")
    add("--output", type=Path, required=True, metavar="FOLDER", help="of all results; what is there is not done again")
    add("--plaza", type=Path, metavar="FOLDER", help="the clip plaza, learned from and tracked")
    add("--photos", type=Path, metavar="FOLDER", help=f"still photographs in sets {', '.join(PHOTOS)}")
    add(
        "--clips", type=Path, nargs="+", default=[], metavar="FOLDER", help="real clips that are tracked after --photos"
    )
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--reduced", action="store_true", help="a few steps of everything: does it run?")
    size.add_argument("--full", action="store_true", help="for a GPU")
    add("--steps", type=positive_integer, help="of each way, instead of the size's")
    add("--seconds", type=positive_integer, help="begin nothing more after so long; the same command goes on")
    add_device_argument(parser)


def _data(args: argparse.Namespace, terms: Terms) -> Data:
    """Where the data are; the synthetic street is made."""
    learned: dict[str, list[Path]] = {}
    tracked: dict[str, list[Path]] = {}
    if args.plaza:
        learned["plaza"], tracked["plaza"] = [args.plaza], [args.plaza]
    if bool(args.photos) != bool(args.clips):
        raise ValueError("--photos and --clips: what is learned from stills is tracked on clips: give both or neither")
    if args.photos:
        found = [args.photos / name for name in PHOTOS if (args.photos / name).is_dir()]
        if not found:
            raise ValueError(f"--photos {args.photos}: expected folders {', '.join(PHOTOS)} in it")
        learned["photos"], tracked["photos"] = found, args.clips
    for kind, folders in (*learned.items(), *tracked.items()):
        find_sets(folders, data_config(kind))  # what is not there is told before the street is drawn
    learned["street"], tracked["street"] = street(terms)
    return Data(learned, tracked)


def main(args: argparse.Namespace) -> int:
    """Do what is missing, write the page of what there is."""
    device = chosen_device(args)
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise ValueError(f"--seeds: got {args.seeds}, expected different numbers of 0 or more")
    terms = REDUCED if args.reduced else FULL if args.full else Terms()
    terms = replace(terms, steps=args.steps or terms.steps)
    args.output.mkdir(parents=True, exist_ok=True)
    data = _data(args, terms)
    kinds = [kind for kind in KINDS if kind in data.trained]
    command = shlex.join(["qdtrack", *sys.argv[1:]])
    wanted = jobs(kinds, args.seeds)
    study, done = Study(args.output, terms, data, device), False
    study.check(kinds)
    try:
        done = study.run(wanted, args.seconds)
    finally:
        page = write_page(args.output, terms, kinds, args.seeds, command)
        print(f"{page}: {'everything' if done else 'what there is so far; the same command goes on'}")
    return 0
