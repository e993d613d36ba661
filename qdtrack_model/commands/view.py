"""Body of ``qdtrack view``: a recording and its tracks in Rerun, or as a file for Rerun, Foxglove and Lichtblick."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from qdtrack_model.viewing.moments import cameras_of

if TYPE_CHECKING:
    from qdtrack_model.viewing.foxglove import FoxgloveFile
    from qdtrack_model.viewing.rerun import RerunRecording

_HINT = "pip install 'qdtrack[view]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack view``."""
    add = parser.add_argument
    add(
        "input",
        type=Path,
        metavar="RUN|BAG|VIDEO|FOLDER",
        help="run of `qdtrack replay`, bag, video or folder of images",
    )
    add(
        "--tracks",
        type=Path,
        metavar="FILE",
        help="MOTChallenge columns of the recording, as `qdtrack track` writes them",
    )
    add("--topic", help="image topic, for bags with several")
    add("--output", type=Path, metavar="FILE.rrd|FILE.mcap", help="write a file instead of opening Rerun")


def _opened(output: Path | None, cameras: list[str]) -> RerunRecording | FoxgloveFile:
    """What the moments are written to.

    Raises:
        ValueError: another kind of file, or a package is missing.
    """
    if output is not None and output.suffix not in (".rrd", ".mcap"):
        raise ValueError(f"{output}: expected a name that ends with .rrd (Rerun) or .mcap (Foxglove, Lichtblick)")
    try:
        if output is not None and output.suffix == ".mcap":
            from qdtrack_model.viewing.foxglove import FoxgloveFile

            return FoxgloveFile(output)
        from qdtrack_model.viewing.rerun import RerunRecording

        return RerunRecording(output, cameras)
    except ModuleNotFoundError as error:
        raise ValueError(f"the package {error.name!r} is needed for this and not installed: {_HINT}") from None


def main(args: argparse.Namespace) -> int:
    """Write every moment, then say where it is."""
    if args.output is not None and args.output.resolve() == args.input.resolve():
        raise ValueError(f"{args.output}: would overwrite the input")
    cameras = cameras_of(args.input, args.tracks, args.topic)
    with _opened(args.output, [camera.name for camera in cameras]) as viewer:
        for camera in cameras:
            for moment in tqdm(camera.moments(), unit="image", desc=camera.name, disable=None):
                viewer.write(camera.name, moment)
    if args.output is not None:
        print(f"written: {args.output}")
    return 0
