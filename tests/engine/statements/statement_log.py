"""The statements that the drivers of a process run, each by its kind, and the round trips that they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiomysql
import aiosqlite
import asyncpg
import pytest

from flowlet.store.dialects.sqlite import connection as sqlite_connection

__all__ = ["StatementLog", "log_statements"]

_ASYNCPG_METHODS = ("execute", "executemany", "fetch", "fetchrow", "fetchval")
_POLLS = ("PRAGMA data_version", "AS window_end")
"""What is in the statements by which a process looks for the commits of others, at its own pace."""
_CHANGED_TABLE = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)(?: JSON_TABLE.*? STRAIGHT_JOIN)? flowlet_(\w+)")
_READ_TABLE = re.compile(r"\bFROM flowlet_(\w+)")


@dataclass
class StatementLog:
    """What has been run since the log was last cleared, without the polls for commits of others.

    Attributes:
        kinds: The statements: a verb and its table, more than one where a statement changes several.
        round_trips: How often a server was waited for, or the thread of a SQLite connection.
    """

    kinds: list[str] = field(default_factory=list)
    round_trips: int = 0

    def clear(self) -> None:
        """Forget what has been run."""
        self.kinds, self.round_trips = [], 0

    def add_message(self, text: str) -> None:
        """Add the statements of one message to a server."""
        if not _is_poll(text):
            self.round_trips += 1
            self.kinds += [describe_kind(sql) for sql in re.split(r"; (?=\s*[A-Z]+\s)", text)]

    def add_in_thread(self, sql: str) -> None:
        """Add a statement that a connection of SQLite runs in its thread."""
        if _is_poll(sql):
            self.round_trips -= 1
        else:
            self.kinds.append(describe_kind(sql))


def _is_poll(text: str) -> bool:
    return any(part in text for part in _POLLS)


def describe_kind(sql: str) -> str:
    """Return what a statement does: ``UPDATE workflow + INSERT action``, ``BEGIN``, ``SELECT workflow``."""
    plain = " ".join(sql.split())
    changed = [f"{verb.split()[0]} {table}" for verb, table in _CHANGED_TABLE.findall(plain)]
    if "pg_notify" in plain:
        changed.append("NOTIFY")
    read = _READ_TABLE.search(plain)
    if read and not changed:
        return f"SELECT {read[1]}"
    return " + ".join(changed) or plain.split(" ")[0]


def log_statements(monkeypatch: pytest.MonkeyPatch) -> StatementLog:
    """Log the statements of every connection that is opened from now on."""
    log = StatementLog()
    for name in _ASYNCPG_METHODS:
        monkeypatch.setattr(asyncpg.Connection, name, _log_calls(log, getattr(asyncpg.Connection, name)))
    monkeypatch.setattr(aiomysql.Connection, "query", _log_calls(log, aiomysql.Connection.query))
    run_in_thread = aiosqlite.Connection._execute

    async def count_call(connection: Any, *given: Any, **named: Any) -> Any:
        log.round_trips += 1
        return await run_in_thread(connection, *given, **named)  # type: ignore[no-untyped-call]  # aiosqlite's own

    class LoggedConnection(sqlite_connection._Connection):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.set_trace_callback(log.add_in_thread)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", count_call)
    monkeypatch.setattr(sqlite_connection, "_Connection", LoggedConnection)
    return log


def _log_calls(log: StatementLog, method: Callable[..., Any]) -> Callable[..., Any]:
    async def run(connection: Any, sql: Any, *given: Any, **named: Any) -> Any:
        log.add_message(sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql))
        return await method(connection, sql, *given, **named)

    return run
