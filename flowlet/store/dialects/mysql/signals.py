"""Other processes' commits to MariaDB and MySQL, noticed by a poll of the history: each of them adds a line.

A change of a schedule adds none: the time of the newest one is read beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

from flowlet.store.dialects.mysql.session import refuse_read_only
from flowlet.store.dialects.mysql.statement import fetch_rows
from flowlet.store.dialects.signals import ListenRequest
from flowlet.store.schedules.table import SCHEDULE
from flowlet.store.tables import ACTION

__all__ = ["MySQLSignals"]

WINDOW = 500
"""The latest ids whose lines are counted: a line may become visible after others with higher ids."""
UNSETTLED_SECONDS, UNSETTLED_POLL_SECONDS = 10.0, 0.2
"""For how long after a commit there may be another one, and how often: of a burst, a line may appear below the whole
window."""

_LAST_ID = f"SELECT COALESCE(MAX(id), 0) FROM {ACTION}"
_END = f"""
SELECT last, count, (SELECT MAX(modified) FROM {SCHEDULE}), @@global.read_only
FROM (SELECT COALESCE(MAX(id), 0) AS last, COUNT(*) AS count FROM {ACTION} WHERE id > %s) AS window_end
"""
"""Beside an aggregate, MariaDB 10.11 always returns 0 for a variable that is on or off: therefore the subquery."""


class MySQLSignals:
    """The part of MariaDB and MySQL for signals."""

    needs_notifications = False

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes poll."""

    async def notify_all(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: every process polls."""

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes poll."""

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Read the end of the history as often as the request says, until the database is unavailable."""
        ((last,),) = await listen_request.read(lambda raw: fetch_rows(raw, _LAST_ID))
        floor, seen, unsettled_until, next_guess = last - WINDOW, None, 0.0, 0.0
        while True:
            end = await listen_request.read(partial(_read_end, floor))
            now = asyncio.get_running_loop().time()
            if end != seen:
                unsettled_until = now + UNSETTLED_SECONDS
            has_commit = end != seen or next_guess <= now < unsettled_until
            next_guess, seen = now + UNSETTLED_POLL_SECONDS if has_commit else next_guess, end
            listen_request.on_poll(has_commit)
            if end[1] > 2 * WINDOW:
                floor, seen = end[0] - WINDOW, None
            await listen_request.wait_for_poll()


async def _read_end(floor: int, raw: Any) -> tuple[int, int, int | None]:
    """Return the last id beyond the floor, how many there are, and when a schedule was last changed.

    A server that takes no writes any more will have no commits either: another one has them.
    """
    ((last, count, schedule_changed, is_read_only),) = await fetch_rows(raw, _END, (floor,))
    if is_read_only:
        await refuse_read_only(raw)
    return last, count, schedule_changed
