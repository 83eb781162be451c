"""A session inside the caller's own transaction, on a connection of ``databases``, SQLAlchemy or a driver."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from flowlet.errors import StoreError
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.base import Dialect
from flowlet.store.dialects.caller import is_of_library
from flowlet.store.dialects.driver_connection import find_driver_connection
from flowlet.store.handler_connection import HandlerConnection

__all__ = ["open_caller_session"]


class _CallerSession(DatabaseSession):
    """Statements on a driver's connection that the caller has opened, and will commit.

    Args:
        raw: The driver's connection.
        dialect: The dialect of Flowlet's database.
        owner: What the caller has given: a session of SQLAlchemy that has ended its transaction has given the driver's
            connection back, and another one may have begun a transaction on it.
    """

    def __init__(self, raw: Any, dialect: Dialect, owner: Any) -> None:
        super().__init__(None, dialect)
        self._raw = raw
        self._owner = owner if is_of_library(owner, "sqlalchemy") else None

    @property
    def is_in_transaction(self) -> bool:
        """Whether the caller's transaction is open."""
        return super().is_in_transaction and (self._owner is None or bool(self._owner.in_transaction()))

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        return self._raw if self._qualifier is None else self._qualifier.wrap_connection(self._raw)

    async def fetch_rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return every row as a tuple."""
        await self._check_size(values)
        return await self.dialect.callers.fetch(self._raw, self._qualify(sql), values or {})

    async def execute(self, sql: str, values: dict[str, Any] | None = None) -> None:
        """Run one statement."""
        await self.fetch_rows(sql, values)


@contextlib.asynccontextmanager
async def open_caller_session(connection: Any, dialect: Dialect) -> AsyncIterator[DatabaseSession]:
    """Yield a session on a connection in whose transaction the caller's own writes are; it stays the caller's.

    Args:
        connection: Of ``ctx.transaction()``, of ``databases``, of SQLAlchemy, or of a driver of the dialect.
        dialect: The dialect of Flowlet's database.

    Raises:
        StoreError: If the connection is of another library or kind of database, or has no transaction.
    """
    if isinstance(connection, HandlerConnection):
        with connection.guard_statement():
            yield DatabaseSession(connection, dialect)
        return
    callers = dialect.callers
    found = await find_driver_connection(connection)
    raw = callers.adopt(found)
    if raw is None:
        kind = type(found)
        raise StoreError(
            f"connection= is of {kind.__module__}.{kind.__qualname__}, which cannot share a transaction with Flowlet: "
            f"its database is {dialect.name}. Give a connection to it of {callers.drivers}, or one of SQLAlchemy or "
            "databases on one of these drivers."
        )
    if not await callers.has_transaction(raw):
        raise StoreError(
            "connection= has no transaction open, so that each statement would be committed by itself. Begin one on it "
            "before, and commit it after."
        )
    await callers.begin_transaction(raw)
    yield _CallerSession(raw, dialect, connection)
