"""Polling MariaDB and MySQL: they notify of nothing, but every commit that matters adds a line of history."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from flowlet.store.commits import UNKNOWN_COMMIT
from flowlet.store.dialects.listening import ListenRequest
from flowlet.store.dialects.mysql_claims import fetch_rows

__all__ = ["poll_history"]

WINDOW = 500
"""The latest ids whose lines are counted: a line may become visible after others with higher ids."""
UNSETTLED_SECONDS = 10.0
"""For how long after a commit each poll counts as one: of a burst, a line may appear below the whole window."""

_LAST_ID = "SELECT COALESCE(MAX(id), 0) FROM workflow_action"
_END = "SELECT COALESCE(MAX(id), 0), COUNT(*) FROM workflow_action WHERE id > %s"


async def poll_history(listen_request: ListenRequest) -> None:
    """Read the end of the history as often as the request says, until the database is away.

    Raises:
        StoreUnavailableError: If it is.
    """
    ((last,),) = await listen_request.read(lambda raw: fetch_rows(raw, _LAST_ID))
    floor, seen, unsettled_until = last - WINDOW, None, 0.0
    while True:
        end = await listen_request.read(partial(_read_end, floor))
        now = asyncio.get_running_loop().time()
        if end != seen or now < unsettled_until:
            listen_request.on_commit(UNKNOWN_COMMIT)
        if end != seen:
            seen, unsettled_until = end, now + UNSETTLED_SECONDS
        if end[1] > 2 * WINDOW:
            floor, seen = end[0] - WINDOW, None
        await listen_request.wait_for_poll()


async def _read_end(floor: int, raw: Any) -> tuple[int, int]:
    """Return the last id beyond the floor, and how many there are."""
    ((last, count),) = await fetch_rows(raw, _END, (floor,))
    return last, count
