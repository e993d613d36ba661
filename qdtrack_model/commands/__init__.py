"""The subcommands of ``qdtrack``, a module each with ``add_arguments(parser)`` and ``main(args) -> exit status``."""

INTERRUPTED = 130  # exit status after Ctrl-C: 128 and the number of the signal
