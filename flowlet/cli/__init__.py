"""The command line: ``flowlet``."""

# ruff: noqa: E402 - SIGTERM has to be handled before anything else is imported, which takes a second
from flowlet.cli.first_process import handle_sigterm

handle_sigterm()

import gc
import sys

from flowlet.text import describe_missing_extra

# Nothing that is imported becomes garbage, and looking for some takes a seventh of the time of a start.
gc.set_threshold(100_000, 50, 100)

try:
    from flowlet.cli.root import main
except ModuleNotFoundError as error:
    if not (text := describe_missing_extra(error, "The command flowlet")):
        raise
    sys.exit(f"Error: {text}")

__all__ = ["main"]
