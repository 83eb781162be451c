"""The command line: ``flowlet``."""

from flowlet.cli.root import main

__all__ = ["main"]
