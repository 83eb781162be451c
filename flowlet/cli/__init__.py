"""The command line: ``flowlet``."""

import gc

# Nothing that is imported becomes garbage, and looking for some takes a seventh of the time of a start.
gc.set_threshold(100_000, 50, 100)

from flowlet.cli.root import main  # noqa: E402

__all__ = ["main"]
