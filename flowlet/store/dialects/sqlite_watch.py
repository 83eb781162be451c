"""Watching an SQLite file: the number that changes with each commit of any other connection."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

from flowlet.settings import get_sqlite_path
from flowlet.store.commits import UNKNOWN_COMMIT
from flowlet.store.dialects.listening import ListenRequest

__all__ = ["watch"]

POLL_SECONDS, QUIET_POLL_SECONDS = 0.02, 0.05
QUIET_POLLS = 25
"""After so many polls without a commit it polls less often: waking up costs more than looking (150 µs against 5)."""


async def watch(listen_request: ListenRequest) -> None:
    """Look every 20 ms whether any connection has committed; every 50 ms after half a second without a commit.

    The connection is of its own, so the commits of this process are among them.

    Raises:
        sqlite3.OperationalError: If the file cannot be opened.
    """
    with contextlib.closing(
        sqlite3.connect(get_sqlite_path(listen_request.url), isolation_level=None, timeout=0)
    ) as file:
        seen, quiet = file.execute("PRAGMA data_version").fetchone(), 0
        listen_request.on_commit(UNKNOWN_COMMIT)
        while True:
            await asyncio.sleep(POLL_SECONDS if quiet < QUIET_POLLS else QUIET_POLL_SECONDS)  # noqa: TID251 - a poll
            version = seen
            with contextlib.suppress(sqlite3.OperationalError):  # locked for a moment: the next poll sees it
                version = file.execute("PRAGMA data_version").fetchone()
            quiet += 1
            if version != seen:
                seen, quiet = version, 0
                listen_request.on_commit(UNKNOWN_COMMIT)
