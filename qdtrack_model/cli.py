"""The command ``qdtrack``, also ``python -m qdtrack_model.cli``: parses and dispatches, nothing else.

Each subcommand's body is the module of its name in ``commands/``, with ``add_arguments(parser)`` and
``main(args) -> exit status``, imported only when it is asked for, so that ``qdtrack evaluate`` needs no torch and
``qdtrack --help`` is instant.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import sys
from collections.abc import Sequence

from qdtrack_model.commands import INTERRUPTED

COMMANDS = {
    "track": "track objects in a video, a folder of images or a bag",
    "view": "look at a recording and its tracks in Rerun, Foxglove or Lichtblick",
    "evaluate": "score results against ground truth",
    "replay": "replay bags through the tracker, score them and write a report",
    "compare": "compare two runs of replay, and fail where the new one is worse",
    "tune": "choose settings of the tracker on bags, cross-validated",
    "submit": "track the videos of a benchmark and write results in its form",
    "auto-label": "label a recording by offline tracking, to correct and to train on",
    "synthesize": "make a synthetic street scene with ground truth",
    "convert": "turn a public QDTrack checkpoint into weights for this project",
    "export": "turn weights into an ONNX graph for one precision, input size and batch",
    "build-engine": "compile a network for a GPU ahead of time",
    "weights": "list the weights there are by name, or fetch public ones",
    "train": "train a network",
    "study": "find out which published conclusions hold on equal terms",
    "validate": "score weights on held-out stills and sequences",
    "embeddings": "score how well the embeddings of weights tell identities apart",
}
USAGE_ERROR = 2


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of the subcommand that comes first; ``args.body`` is its module."""
    parser = argparse.ArgumentParser(prog="qdtrack", description="Multi-object tracking for robots and vehicles.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if arguments and arguments[0] == name:
            body = importlib.import_module(f"qdtrack_model.commands.{name.replace('-', '_')}")
            body.add_arguments(command)
            command.set_defaults(body=body)
    args, rest = parser.parse_known_args(arguments)
    # argparse takes no more positional arguments after options: KEY=VALUE of `train` may stand anywhere.
    if rest and not (hasattr(args, "changes") and all("=" in text and text[0] != "-" for text in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.changes += rest
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; what the user can mend is one line on stderr and status 2, never a traceback."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("qdtrack_model.checkpoints").setLevel(logging.INFO)  # a fetch takes minutes
    args = None
    try:
        args = parse(sys.argv[1:] if arguments is None else arguments)
        return int(args.body.main(args))
    except KeyboardInterrupt:
        print("qdtrack: interrupted", file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if str(error.name).startswith("qdtrack_model"):
            raise
        print(f"qdtrack: error: the package {error.name!r} is needed for this and not installed", file=sys.stderr)
    except (ValueError, OSError) as error:
        # A full disk does not say itself where it is.
        output = str(getattr(args, "output", ""))
        full = getattr(error, "errno", None) == errno.ENOSPC and output and "://" not in output
        print(f"qdtrack: error: {f'{output}: ' if full else ''}{error}", file=sys.stderr)
    except RuntimeError as error:
        if not type(error).__module__.startswith("qdtrack_model"):
            raise
        print(f"qdtrack: error: {error}", file=sys.stderr)
    return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
