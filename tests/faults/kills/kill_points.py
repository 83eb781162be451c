"""A process that kills itself before or after a statement of a kind, whatever the database."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Callable
from typing import Any

import aiomysql
import asyncpg
from asyncpg.pool import PoolConnectionProxy

__all__ = ["KINDS_BY_ROLE", "KillPoint"]

KINDS = (
    r"BEGIN",
    r"SELECT .* FROM flowlet_workflow WHERE (id|external_id) = ",
    r"SELECT id FROM flowlet_message",
    r"INSERT INTO flowlet_message",
    r"UPDATE (flowlet_workflow|JSON_TABLE)|WITH b AS .* UPDATE flowlet_workflow w SET status",
    r"INSERT INTO flowlet_action",
    r"UPDATE flowlet_message|WITH b AS .* UPDATE flowlet_message",
    r"UPDATE flowlet_workflow SET next_activation = CASE WHEN unread|WITH b AS .* UPDATE flowlet_message",
    r"SELECT .* FROM flowlet_message WHERE workflow_id = .* consumed IS NULL",
    r"COMMIT",
    r"SELECT requests FROM flowlet_spawn",
    r"DELETE FROM flowlet_spawn",
)
"""The kinds of statements of a send, of an activation that reads a message and commits, and of a part of a spawn."""
KINDS_BY_ROLE = {"send": (0, 1, 2, 3, 4, 5, 9), "run": (0, 4, 5, 6, 7, 8, 9), "spawn": (9, 10, 11)}
"""The places of the kinds that a sender runs, an executor, and an executor that makes the children of a spawn."""
OCCURRENCE = 4
"""Which statement of its kind is the last one."""
_ASYNCPG_METHODS = ("execute", "executemany", "fetch", "fetchrow", "fetchval")


class KillPoint:
    """Counts the statements of one kind, and kills the process at one of them.

    Args:
        kind: The place of the kind in ``KINDS``; -1 for none.
        is_after: Whether the process dies when the statement has been answered, and not before it is sent.
    """

    def __init__(self, kind: int, *, is_after: bool) -> None:
        self._pattern = re.compile(KINDS[kind] if kind >= 0 else r"$.", re.DOTALL)
        self._is_after = is_after
        self._count = 0

    def install(self) -> None:
        """Count the statements of every driver from now on."""
        for owner in (asyncpg.Connection, PoolConnectionProxy):
            for name in _ASYNCPG_METHODS:
                setattr(owner, name, self._wrap_coroutine(getattr(owner, name)))
        aiomysql.Connection.query = self._wrap_coroutine(aiomysql.Connection.query)
        connect = sqlite3.connect

        def connect_counting(*given: Any, **options: Any) -> sqlite3.Connection:
            factory = _count_statements(options.pop("factory", sqlite3.Connection), self)
            opened: sqlite3.Connection = connect(*given, factory=factory, **options)
            return opened

        sqlite3.connect = connect_counting  # type: ignore[assignment]  # the same function

    def run(self, sql: str, call: Callable[[], Any]) -> Any:
        """Run a statement in a thread, and die at it if its turn has come."""
        is_last = self._is_turn(sql)
        if is_last and not self._is_after:
            self._die(sql)
        result = call()
        if is_last:
            self._die(sql)
        return result

    def _wrap_coroutine(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def run(connection: Any, sql: Any, *values: Any, **options: Any) -> Any:
            is_last = self._is_turn(sql.decode() if isinstance(sql, bytes) else str(sql))
            if is_last and not self._is_after:
                self._die(str(sql))
            result = await method(connection, sql, *values, **options)
            if is_last:
                self._die(str(sql))
            return result

        return run

    def _is_turn(self, sql: str) -> bool:
        is_counted = self._pattern.match(sql.strip()) is not None
        self._count += is_counted
        return is_counted and self._count == OCCURRENCE

    def _die(self, sql: str) -> None:
        where = "after" if self._is_after else "before"
        print(f"killed {where} {' '.join(sql.split())[:70]}", flush=True)  # noqa: T201
        os.kill(os.getpid(), signal.SIGKILL)


def _count_statements(base: type[sqlite3.Connection], point: KillPoint) -> type[sqlite3.Connection]:
    """Return a class of connections whose statements are counted, in addition to what the given one does."""

    class CountingCursor(sqlite3.Cursor):
        def execute(self, sql: str, *values: Any) -> Any:
            return point.run(sql, lambda: super(CountingCursor, self).execute(sql, *values))

    class CountingConnection(base):  # type: ignore[misc, valid-type]  # a class that is given
        def cursor(self, *_: Any, **__: Any) -> Any:
            return super().cursor(CountingCursor)

        def execute(self, sql: str, *values: Any) -> Any:
            return point.run(sql, lambda: super(CountingConnection, self).execute(sql, *values))

        def executemany(self, sql: str, *values: Any) -> Any:
            return point.run(sql, lambda: super(CountingConnection, self).executemany(sql, *values))

    return CountingConnection
