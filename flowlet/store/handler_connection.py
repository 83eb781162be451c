"""The connection that a handler receives: its writes are kept only if the handler's transition is committed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from flowlet.store.database_session import DatabaseSession

__all__ = ["HandlerConnection"]

_TRANSACTION_SQL = re.compile(
    r"\s*(COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE,
)
_OWN_END = (
    "Flowlet commits it with the transition, and rolls it back if the attempt fails. Raise an error to undo its "
    "writes, and run no statement that ends a transaction (on MySQL also CREATE TABLE and its like)"
)


class HandlerConnection:
    """A connection inside an open transaction, which it cannot end. After the transaction it refuses every statement.

    MySQL rolls the whole transaction back at a deadlock, and would commit each later statement by itself. So after the
    first conflict every statement is refused.

    Attributes:
        conflict: What has ended this transaction: a conflict with another one, a server that takes no writes any more,
            or a statement of the handler; or None.
        trouble: The first error by which the database, and not the statement, was at fault; or None. What follows a
            statement that was cancelled is no trouble of the database: its driver closes the connection then.
    """

    def __init__(self, session: DatabaseSession) -> None:
        self.session = session
        self.conflict: Exception | None = None
        self.trouble: Exception | None = None
        self._has_ended = self._was_cancelled = False
        self._used_at = asyncio.get_running_loop().time()
        self._idle_before_trouble: float | None = None

    @property
    def idle_seconds(self) -> float:
        """For how long no statement ran: before the database's trouble, or until now."""
        idle = self._idle_before_trouble
        return asyncio.get_running_loop().time() - self._used_at if idle is None else idle

    @property
    def raw_connection(self) -> Any:
        """The driver's connection; use it within ``statement``."""
        return self.session.connection.raw_connection

    async def execute(self, query: Any, values: dict[str, Any] | None = None) -> Any:
        """Run one statement."""
        with self._guard_own_statement(query):
            return await self.session.connection.execute(query, values)

    async def execute_many(self, query: Any, values: list[dict[str, Any]]) -> None:
        """Run one statement for each of the values."""
        with self._guard_own_statement(query):
            await self.session.connection.execute_many(query, values)

    async def fetch_all(self, query: Any, values: dict[str, Any] | None = None) -> list[Any]:
        """Return every row."""
        with self._guard_own_statement(query):
            rows: list[Any] = await self.session.connection.fetch_all(query, values)
            return rows

    async def fetch_one(self, query: Any, values: dict[str, Any] | None = None) -> Any:
        """Return the first row, or None."""
        with self._guard_own_statement(query):
            return await self.session.connection.fetch_one(query, values)

    def end(self) -> None:
        """Refuse every statement from now on: the connection is released to its pool."""
        self._has_ended = True

    @contextlib.contextmanager
    def _guard_own_statement(self, query: Any) -> Iterator[None]:
        """Guard a statement of the handler, of which the server may warn."""
        if isinstance(query, str) and (found := _TRANSACTION_SQL.match(query)):
            raise RuntimeError(f"{found[1].upper()!r} inside ctx.transaction(): {_OWN_END}")
        with self.guard_statement(), self.session.dialect.connections.permit_warnings(self.session.raw):
            yield

    @contextlib.contextmanager
    def guard_statement(self) -> Iterator[None]:
        """Guard one statement.

        Raises:
            RuntimeError: If the transaction has ended: with its activation, or by a conflict.
        """
        if self._has_ended:
            raise RuntimeError("the transaction of ctx.transaction() has ended, with the activation that opened it")
        if self.conflict is not None:
            raise RuntimeError(
                f"the database has ended this transaction ({self.conflict}): do not catch such an error, and the "
                "handler runs again"
            ) from self.conflict
        try:
            yield
        except asyncio.CancelledError:
            self._was_cancelled = True
            raise
        except Exception as error:
            self._record_error(error)
            raise
        finally:
            self._used_at = asyncio.get_running_loop().time()
        self.check_open()

    def check_open(self) -> None:
        """Check that no statement has ended the transaction.

        Raises:
            RuntimeError: If one has; what was written before it stays, where that was a COMMIT.
        """
        if not (self.session.is_lost or self.session.is_in_transaction):
            self.conflict = RuntimeError(f"a statement has ended the transaction of ctx.transaction(): {_OWN_END}")
            raise self.conflict

    def has_trouble(self, error: Exception | None = None) -> bool:
        """Return whether the database was at fault in the handler's statements, or is with this error after them."""
        errors = self.session.dialect.errors
        is_fault = error is not None and (errors.is_conflict(error) or errors.is_unavailable(error))
        return self.trouble is not None or (is_fault and not self._was_cancelled)

    def _record_error(self, error: Exception) -> None:
        errors = self.session.dialect.errors
        is_conflict = errors.is_conflict(error) and not errors.is_refusal(error)
        if self.trouble is None and not self._was_cancelled and (is_conflict or errors.is_unavailable(error)):
            self._idle_before_trouble = self.idle_seconds
            self.trouble = error
        if errors.is_wrong_server(error):
            self.session.dialect.connections.drop_connection(self.session.raw)
            self.conflict = error
        elif is_conflict:
            self.conflict = error
