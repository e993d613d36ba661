"""The subcommands of ``qdtrack``, a module each with ``add_arguments(parser)`` and ``main(args) -> exit status``."""

LEFT_OUT = 1  # exit status where something could not be read, and all else was done
INTERRUPTED = 130  # exit status after Ctrl-C: 128 and the number of the signal
