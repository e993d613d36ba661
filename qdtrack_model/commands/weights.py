"""``qdtrack weights``: which weights there are by name; ``qdtrack weights fetch``: have them before they are needed."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from qdtrack_model import checkpoints
from qdtrack_model.atomic import atomic_write
from qdtrack_model.checkpoints.catalogue import PublicWeights
from qdtrack_model.checkpoints.presets import read_preset

NAMED = 4  # classes that are named in the list; of more the first ones


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``qdtrack weights``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", help="list all [without one]")
    summary = "have public weights in the cache, or in a file for a machine that is offline"
    fetch = actions.add_parser("fetch", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    names = (*checkpoints.SHIPPED, *checkpoints.PUBLIC)
    fetch.add_argument("name", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    fetch.add_argument("--output", type=Path, metavar="FILE", help="also write them to this .safetensors file")


def main(args: argparse.Namespace) -> int:
    """List what there is, or fetch."""
    if args.action == "fetch":
        return _fetch(args.name, args.output)
    entries = [_shipped(name, path) for name, path in checkpoints.SHIPPED.items()]
    entries += [_public(name, public) for name, public in checkpoints.PUBLIC.items()]
    print("\n\n".join("\n".join(entry) for entry in entries))
    return 0


def _fetch(name: str, output: Path | None) -> int:
    if output is not None and output.suffix != ".safetensors":
        raise ValueError(f"--output {output}: expected a name that ends in .safetensors")
    path = checkpoints.resolve(name)
    if output is not None:
        with atomic_write(output) as partial:
            shutil.copyfile(path, partial)
    print(f"{name}: {output or path}")
    return 0


def _shipped(name: str, path: Path) -> Iterator[str]:
    """Lines on weights that come with this package; what they were trained on stands in their card."""
    checkpoint = checkpoints.load(path)
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    yield f"{name} (shipped)"
    yield from _facts(path.stat().st_size / 1e6, checkpoint.config.classes)
    for row in ("Data", "Scores", "Terms"):
        found = re.search(rf"^\| {row} \| (.*) \|$", card, re.MULTILINE)
        yield _fact(row, found[1] if found else f"see {path.with_suffix('.md')}")
    yield _fact("From", str(path))


def _public(name: str, public: PublicWeights) -> Iterator[str]:
    """Lines on weights that are published elsewhere."""
    path = checkpoints.cached(name, public)
    use = "public, to start a training from" if public.start else "public"
    yield f"{name} ({use}; {'fetched' if path else 'fetched on first use'})"
    yield from _facts(path.stat().st_size / 1e6 if path else public.megabytes, read_preset(public.preset).model.classes)
    yield _fact("Data", public.trained_on)
    yield _fact("Scores", public.scores)
    yield _fact("Terms", public.terms)
    yield _fact("From", " or ".join(public.urls))
    if path:
        yield _fact("Kept in", str(path))


def _facts(megabytes: float, classes: Sequence[str]) -> Iterator[str]:
    yield _fact("Size", f"{megabytes:.0f} MB")
    named = ", ".join(classes[:NAMED]) + (", ..." if len(classes) > NAMED else "")
    yield _fact("Classes", f"{len(classes)} ({named})")


def _fact(name: str, text: str) -> str:
    return f"  {name + ':':<9}{text}"
