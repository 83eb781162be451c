"""Other processes' commits to MariaDB and MySQL, noticed by a poll of the history: each of them adds a line.

Changes of schedules, paused lanes and limits add none: the time of the newest change of a schedule, and the end of the
audit, are read beside it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from flowlet.instance.action import ActionKind
from flowlet.store.dialects.mysql.session import refuse_read_only
from flowlet.store.dialects.mysql.statement import fetch_rows
from flowlet.store.dialects.signals import ListenRequest
from flowlet.store.people.tables import AUDIT
from flowlet.store.schedules.table import SCHEDULE
from flowlet.store.tables import ACTION

__all__ = ["MySQLSignals", "PollPace"]

WINDOW = 500
"""The latest ids whose lines are counted: a line may become visible after others with higher ids."""
UNSETTLED_SECONDS, UNSETTLED_POLL_SECONDS = 10.0, 0.2
"""For how long after a commit there may be another one, and how often: of a burst, a line may appear below the whole
window."""

BUSY_SECONDS, BUSY_POLL_SECONDS, SLOWDOWN = 1.0, 0.02, 1.1
"""For how long after a create of another process the next one is looked for often, how often, and by which factor the
pauses grow afterwards: as far as the subscribers let them."""

_LAST_ID = f"SELECT COALESCE(MAX(id), 0) FROM {ACTION}"
_IS_FOREIGN = "(executor_id IS NULL OR executor_id NOT IN ({own}))"
# What the executors of this process have written is left out: it is known here already.
_END = f"""
SELECT last, count, foreign_last, foreign_count, created_count,
    (SELECT MAX(modified) FROM {SCHEDULE}), (SELECT MAX(id) FROM {AUDIT}), @@global.read_only
FROM (
    SELECT COALESCE(MAX(id), 0) AS last, COUNT(*) AS count,
        MAX(CASE WHEN {_IS_FOREIGN} THEN id END) AS foreign_last,
        COUNT(CASE WHEN {_IS_FOREIGN} THEN 1 END) AS foreign_count,
        COUNT(CASE WHEN kind = '{ActionKind.CREATED}' AND executor_id IS NULL THEN 1 END) AS created_count
    FROM {ACTION} WHERE id > %s
) AS window_end
"""
"""Beside an aggregate, MariaDB 10.11 always returns 0 for a variable that is on or off: therefore the subquery."""


class _WindowEnd(NamedTuple):
    """The end of the history beyond a floor.

    Attributes:
        last: The last id.
        line_count: How many lines there are.
        foreign: What changes with each commit of another process.
        created_count: How many instances were created that wait for a claim.
    """

    last: int
    line_count: int
    foreign: tuple[int | None, ...]
    created_count: int


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
        """Read the end of the history as often as the request says, until the database is unavailable.

        Where other processes create instances one after the other it is read more often.
        """
        ((last,),) = await listen_request.read(lambda raw: fetch_rows(raw, _LAST_ID))
        floor, seen, unsettled_until, next_guess = last - WINDOW, None, 0.0, 0.0
        pace = PollPace()
        while True:
            end = await listen_request.read(partial(_read_end, floor, tuple(listen_request.own_executor_ids)))
            now = asyncio.get_running_loop().time()
            is_new = seen is None or end.foreign != seen.foreign
            has_created = seen is not None and end.created_count > seen.created_count
            if is_new:
                unsettled_until = now + UNSETTLED_SECONDS
            has_commit = is_new or next_guess <= now < unsettled_until
            next_guess, seen = now + UNSETTLED_POLL_SECONDS if has_commit else next_guess, end
            listen_request.on_poll(has_commit, has_created)
            if end.line_count > 2 * WINDOW:
                floor, seen = end.last - WINDOW, None
            await listen_request.wait_for_poll(at_most=pace.compute_pause(now, has_created=has_created))


class PollPace:
    """How soon the next poll follows: often while other processes create instances, then more and more seldom."""

    def __init__(self) -> None:
        self._busy_until = -math.inf
        self._pause = math.inf

    def compute_pause(self, now: float, *, has_created: bool) -> float:
        """Return after how many seconds to poll at the latest."""
        if has_created:
            self._busy_until, self._pause = now + BUSY_SECONDS, BUSY_POLL_SECONDS
        elif now >= self._busy_until:
            self._pause *= SLOWDOWN
        return self._pause


async def _read_end(floor: int, own_executor_ids: Sequence[str], raw: Any) -> _WindowEnd:
    """Return the end of the history.

    A server that takes no writes any more will have no commits either: another one has them.
    """
    own = own_executor_ids or ("",)
    sql = _END.format(own=", ".join(["%s"] * len(own)))
    ((last, count, *foreign, created_count, schedule_changed, audited, is_read_only),) = await fetch_rows(
        raw, sql, (*own, *own, floor)
    )
    if is_read_only:
        await refuse_read_only(raw)
    return _WindowEnd(last, count, (*foreign, schedule_changed, audited), created_count)
