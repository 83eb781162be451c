"""Time limits of units of work on SQLite, whose statements run in a thread and cannot be cancelled.

Units of work share a connection. When the time of one is over, its statement is interrupted if it is the one that runs,
and is not run if it waits for the thread. What other units have running at that moment may be interrupted as well: a
read that has fetched a part of its rows. Such a unit runs again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiosqlite

__all__ = ["INTERRUPTED", "InterruptibleConnection", "get_deadline", "lift_limit", "limit_work"]

INTERRUPTED = "interrupted"
"""SQLite's message for a statement that was interrupted."""


class _WorkLimit:
    """The time limit of one unit of work.

    Attributes:
        until: When it ends, in the time of the event loop.
        is_over: Whether it has ended; set under the guard of the connection that the unit uses.
        pending: The connection whose statement the unit waits for, and the statement's future.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.is_over = False
        self.pending: tuple[InterruptibleConnection, asyncio.Future[Any]] | None = None

    def end(self) -> None:
        """End the statement that runs, or that waits for its turn, and refuse further ones."""
        if self.pending is None:
            self.is_over = True
            return
        connection, future = self.pending
        if not connection.end_limit(self) and not future.done():
            future.set_exception(sqlite3.OperationalError(INTERRUPTED))


_limit: ContextVar[_WorkLimit | None] = ContextVar("flowlet_sqlite_work_limit", default=None)


class InterruptibleConnection(aiosqlite.Connection):
    """A connection on which the statements of a unit of work end with its time limit."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], *, busy_seconds: float) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._busy_seconds = busy_seconds
        self._guard = threading.Lock()
        self._running_limit: _WorkLimit | None = None

    def end_limit(self, limit: _WorkLimit) -> bool:
        """End a limit; interrupt what runs, if it belongs to that unit of work, and return whether it does."""
        with self._guard:
            limit.is_over = True
            if self._running_limit is not limit:
                return False
            self._conn.interrupt()
            return True

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        limit = _limit.get()
        if limit is None or getattr(fn, "__name__", "") == "close":  # a cursor is closed in any case
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # it is private
        if not self._running or not self._connection:
            raise ValueError("Connection closed")
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        limit.pending = self, future
        self._tx.put_nowait((future, partial(self._run_limited, limit, loop, partial(fn, *args, **kwargs))))
        try:
            return await future
        finally:
            limit.pending = None

    def _run_limited(self, limit: _WorkLimit, loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> Any:
        """Call a function in the connection's thread, unless the time is over."""
        with self._guard:
            if limit.is_over:
                raise sqlite3.OperationalError(INTERRUPTED)
            self._running_limit = limit
        try:
            self._set_busy_seconds(min(self._busy_seconds, max(0.0, limit.until - loop.time())))
            return call()
        finally:
            with self._guard:
                self._running_limit = None
            with contextlib.suppress(sqlite3.OperationalError):  # interrupted as well; the next one sets it again
                self._set_busy_seconds(self._busy_seconds)

    def _set_busy_seconds(self, seconds: float) -> None:
        """Let a statement wait so long for the lock of another process: this wait cannot be interrupted."""
        self._conn.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}").close()


def get_deadline() -> float | None:
    """Return when the time of the current unit of work is over, in the event loop's time; None for without limit."""
    limit = _limit.get()
    return None if limit is None else limit.until


@contextlib.asynccontextmanager
async def limit_work(seconds: float | None) -> AsyncIterator[None]:
    """Let the statements of the block end after so many seconds; None for no limit.

    Raises:
        TimeoutError: If one was ended.
    """
    if seconds is None:
        yield
        return
    loop = asyncio.get_running_loop()
    limit = _WorkLimit(loop.time() + seconds)
    token, timer = _limit.set(limit), loop.call_at(limit.until, limit.end)
    try:
        yield
    except sqlite3.OperationalError as error:
        if limit.is_over and str(error) == INTERRUPTED:
            raise TimeoutError(f"a statement was ended after {seconds:.1f} seconds") from error
        raise
    finally:
        timer.cancel()
        _limit.reset(token)


def lift_limit() -> None:
    """Let the rest of the unit of work take as long as it does: its transaction has to be rolled back."""
    if _limit.get() is not None:
        _limit.set(None)
