"""How the benchmarks end that run for hours and go on where they stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from qdtrack_model.commands import INTERRUPTED


def finish(
    name: str,
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    run: Callable[[argparse.Namespace], None],
) -> int:
    """Run; what the user can mend is one line on stderr and status 2.

    Args:
        name: by which errors begin.
        parser: of the arguments.
        arguments: of the command line; None: this process's.
        run: the benchmark, given the parsed arguments.
    """
    try:
        run(parser.parse_args(arguments))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError) as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    return 0
