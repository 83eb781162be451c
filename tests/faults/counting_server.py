"""Run ``flowlet``, and at each SIGUSR1 print how many wait, and how often the database has been used so far.

The first argument is how many may wait at once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from flowlet.cli import main
from flowlet.engine import waiters
from flowlet.store.connection import Connections
from flowlet.web.api import waiting

opened_waiters: list[waiters.Waiters] = []
connection_use_count = 0


def count_uses() -> None:
    open_arrivals, attempts = waiters.Waiters.__init__, Connections._run_with_retries

    def open_and_record(self: waiters.Waiters, *given: Any, **named: Any) -> None:
        open_arrivals(self, *given, **named)
        opened_waiters.append(self)

    async def count_attempt(self: Connections, *given: Any, **named: Any) -> Any:
        global connection_use_count  # noqa: PLW0603 - one number for the whole process
        connection_use_count += 1
        return await attempts(self, *given, **named)

    waiters.Waiters.__init__ = open_and_record  # type: ignore[method-assign]  # looked at, not changed
    Connections._run_with_retries = count_attempt  # type: ignore[method-assign]  # the same


def print_counts(*_: object) -> None:
    """Write past the buffer of stdout: the signal may come while a line of the log is written to it."""
    line = f"wait {opened_waiters[0].waiter_count} uses {connection_use_count}\n"
    os.write(sys.stdout.fileno(), line.encode())


if __name__ == "__main__":
    waiters.MAX_WAITERS = int(sys.argv.pop(1))
    vars(waiting)["MAX_WAITERS"] = waiters.MAX_WAITERS
    count_uses()
    signal.signal(signal.SIGUSR1, print_counts)
    main()
