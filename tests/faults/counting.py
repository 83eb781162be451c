"""Run ``flowlet``, and at each SIGUSR1 print how many wait, and how often the database has been used so far.

The first argument is how many may wait at once.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from flowlet.cli import main
from flowlet.engine import arrivals
from flowlet.store.connection import Connections
from flowlet.web.api import waiting

opened: list[arrivals.Arrivals] = []
uses = 0


def watch() -> None:
    open_arrivals, attempts = arrivals.Arrivals.__init__, Connections._attempts

    def opening(self: arrivals.Arrivals, *given: Any, **named: Any) -> None:
        open_arrivals(self, *given, **named)
        opened.append(self)

    async def counted(self: Connections, *given: Any) -> Any:
        global uses  # noqa: PLW0603 - one number for the whole process
        uses += 1
        return await attempts(self, *given)

    arrivals.Arrivals.__init__ = opening  # type: ignore[method-assign]  # looked at, not changed
    Connections._attempts = counted  # type: ignore[assignment,method-assign]  # the same


def tell(*_: object) -> None:
    print(f"wait {opened[0].waiting} uses {uses}", flush=True)  # noqa: T201


if __name__ == "__main__":
    arrivals.MOST_WAITERS = int(sys.argv.pop(1))
    vars(waiting)["MOST_WAITERS"] = arrivals.MOST_WAITERS
    watch()
    signal.signal(signal.SIGUSR1, tell)
    main()
