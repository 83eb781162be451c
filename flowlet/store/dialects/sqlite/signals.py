"""Other processes' commits to SQLite, noticed by a poll of ``PRAGMA data_version``."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable
from typing import Any

from flowlet.database_url import get_sqlite_path
from flowlet.store.commits import UNKNOWN_COMMIT
from flowlet.store.dialects.signals import ListenRequest

__all__ = ["SQLiteSignals"]

POLL_SECONDS, QUIET_POLL_SECONDS = 0.02, 0.05
QUIET_POLLS = 25
"""After so many polls without a commit it polls less often: waking up costs more than looking (150 µs against 5)."""


class SQLiteSignals:
    """SQLite's part for signals."""

    needs_notifications = False

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes watch ``PRAGMA data_version``."""

    async def notify_all(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: every process watches ``PRAGMA data_version``."""

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes watch ``PRAGMA data_version``."""

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Look every 20 ms whether any connection has committed; every 50 ms after half a second without a commit.

        The look is at a separate connection, which costs next to nothing and sees the commits of this process too: if
        there were any, the connection that writes is asked, for which only those of other connections count.
        """
        path = get_sqlite_path(listen_request.url)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
            seen, quiet = connection.execute("PRAGMA data_version").fetchone(), 0
            seen_by_writer = await listen_request.read_on_writer(_read_version)
            listen_request.on_commit(UNKNOWN_COMMIT)
            while True:
                pause = POLL_SECONDS if quiet < QUIET_POLLS else QUIET_POLL_SECONDS
                await asyncio.sleep(pause)  # noqa: TID251 - a poll of the file, in real time
                version = seen
                with contextlib.suppress(sqlite3.OperationalError):  # locked for a moment: the next poll reads it
                    version = connection.execute("PRAGMA data_version").fetchone()
                quiet += 1
                if version == seen:
                    continue
                seen, quiet, version_for_writer = version, 0, await listen_request.read_on_writer(_read_version)
                if version_for_writer != seen_by_writer:
                    seen_by_writer = version_for_writer
                    listen_request.on_commit(UNKNOWN_COMMIT)


async def _read_version(raw: Any) -> int:
    """Return a number that changes when another connection than this one has committed."""
    version: int = await raw._execute(lambda: raw._conn.execute("PRAGMA data_version").fetchone()[0])
    return version
