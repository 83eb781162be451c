"""The connection that a handler receives: its writes are kept only if the handler's transition is committed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from flowlet.store.database_session import DatabaseSession

__all__ = ["HandlerConnection"]


class HandlerConnection:
    """A connection inside an open transaction, which it cannot end. After the transaction it refuses every statement.

    MySQL rolls the whole transaction back at a deadlock, and would commit each later statement by itself. So after the
    first conflict every statement is refused.

    Attributes:
        conflict: The conflict with another transaction that ended this one, or None.
    """

    def __init__(self, session: DatabaseSession) -> None:
        self.session = session
        self.conflict: Exception | None = None
        self._has_ended = False

    @property
    def raw_connection(self) -> Any:
        """The driver's connection; use it within ``statement``."""
        return self.session.raw

    async def execute(self, query: Any, values: dict[str, Any] | None = None) -> Any:
        """Run one statement."""
        with self.guard_statement():
            return await self.session.connection.execute(query, values)

    async def execute_many(self, query: Any, values: list[dict[str, Any]]) -> None:
        """Run one statement for each of the values."""
        with self.guard_statement():
            await self.session.connection.execute_many(query, values)

    async def fetch_all(self, query: Any, values: dict[str, Any] | None = None) -> list[Any]:
        """Return every row."""
        with self.guard_statement():
            rows: list[Any] = await self.session.connection.fetch_all(query, values)
            return rows

    async def fetch_one(self, query: Any, values: dict[str, Any] | None = None) -> Any:
        """Return the first row, or None."""
        with self.guard_statement():
            return await self.session.connection.fetch_one(query, values)

    def end(self) -> None:
        """Refuse every statement from now on: the connection is released to its pool."""
        self._has_ended = True

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
        except Exception as error:
            errors = self.session.dialect.errors
            if errors.is_conflict(error) and not errors.is_refusal(error):
                self.conflict = error
            raise
