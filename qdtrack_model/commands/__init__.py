"""The subcommands of ``qdtrack``, a module each with ``add_arguments(parser)`` and ``main(args) -> exit status``."""
