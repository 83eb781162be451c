"""Other processes' commits to SQLite, noticed by a poll of ``PRAGMA data_version``."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from flowlet.settings import get_sqlite_path
from flowlet.store.dialects.signals import cancel_task

__all__ = ["SQLiteSignals"]

POLL_SECONDS, QUIET_POLL_SECONDS = 0.02, 0.05
QUIET_POLLS = 25
"""After so many polls without a commit it polls less often: waking up costs more than looking (150 µs against 5)."""


class SQLiteSignals:
    """SQLite's part for signals."""

    has_polling_watch = False
    has_commit_signal = False
    has_commit_listener = True

    async def notify(self, raw: Any, channel: str) -> None:
        """Do nothing: other processes watch ``PRAGMA data_version``."""

    async def watch(
        self, url: str, channels: Sequence[str], on_change: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Look every 20 ms whether another connection has committed; every 50 ms where none has for half a second."""
        connection = sqlite3.connect(get_sqlite_path(url), isolation_level=None, timeout=0)
        task = asyncio.create_task(_poll_version(connection, on_change))

        async def stop() -> None:
            await cancel_task(task)
            connection.close()

        return stop

    async def send_commit_signal(self, raw: Any, name: str) -> None:
        """Do nothing: other processes watch ``PRAGMA data_version``."""

    async def listen_for_commits(
        self, url: str, name: str, on_commit: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Look whether any other connection has committed, those of this process included."""
        return await self.watch(url, (), on_commit)


async def _poll_version(connection: sqlite3.Connection, on_change: Callable[[], None]) -> None:
    seen = connection.execute("PRAGMA data_version").fetchone()
    quiet = 0
    while True:
        pause = POLL_SECONDS if quiet < QUIET_POLLS else QUIET_POLL_SECONDS
        await asyncio.sleep(pause)  # noqa: TID251 - a poll of the file, in real time
        version = seen
        with contextlib.suppress(sqlite3.OperationalError):  # locked for a moment: the next poll reads it
            version = connection.execute("PRAGMA data_version").fetchone()
        quiet += 1
        if version != seen:
            seen, quiet = version, 0
            on_change()
