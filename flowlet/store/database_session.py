"""A session with the database: the statements of one connection."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from flowlet.store.columns import Column, Table
from flowlet.store.commits import Commit
from flowlet.store.dialects.base import Dialect
from flowlet.store.dialects.bound_statement import BoundStatement

__all__ = ["DatabaseSession", "build_in_list"]

logger = logging.getLogger(__name__)

UNMEASURED_LENGTH = 4_000
"""Characters of values that every database accepts; as many bytes are allowed for the statement beside its values."""


class DatabaseSession:
    """One connection of the database. Statements are portable text with ``:named`` values.

    ``raw`` is the driver's connection, for what a dialect's module writes in the database's own way. Whatever is run
    through a session names the schema of Flowlet's tables, where they have one; ``connection`` is for the statements of
    handlers, which are run as they are.

    Attributes:
        pending_commit: What the transaction will have committed, for those that wait for commits; None for nothing.
    """

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self.connection = connection
        self.dialect = dialect
        self.pending_commit: Commit | None = None
        self._qualifier = dialect.qualifier

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        raw = self.connection.raw_connection
        return raw if self._qualifier is None else self._qualifier.wrap_connection(raw)

    @property
    def is_lost(self) -> bool:
        """Whether the connection has been closed, by either side."""
        return self.dialect.connections.is_closed(self.raw)

    @property
    def is_in_transaction(self) -> bool:
        """Whether the server has a transaction open here, as of its last answer."""
        return self.dialect.connections.is_in_transaction(self.raw)

    async def fetch_rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return every row as a tuple."""
        await self._check_size(values)
        records = await self.connection.fetch_all(BoundStatement(self._qualify(sql), values))
        return [tuple(record._mapping.values()) for record in records]

    async def execute(self, sql: str, values: dict[str, Any] | None = None) -> None:
        """Run one statement; its result is ignored, because the drivers disagree about it."""
        await self._check_size(values)
        await self.connection.execute(BoundStatement(self._qualify(sql), values))

    async def roll_back(self) -> None:
        """Roll back the open transaction; where that fails, the connection is dropped."""
        connections = self.dialect.connections
        connections.lift_limit()
        try:
            await self.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 - after any error the connection is unusable
            logger.debug("rollback failed, the connection is dropped: %s", error)
            if connections.has_pool and not self.is_lost:
                connections.drop_connection(self.raw)

    async def reset_connection(self) -> None:
        """Make the connection as good as new after a handler's statements; where that fails, it is dropped."""
        try:
            await self.dialect.connections.reset_connection(self.raw)
        except Exception as error:  # noqa: BLE001 - as above; what is committed stays committed
            logger.debug("a connection cannot be reset, it is dropped: %s", error)
            if not self.is_lost:
                self.dialect.connections.drop_connection(self.raw)

    async def _check_size(self, values: dict[str, Any] | None) -> None:
        """Refuse values that the database does not accept, before they are sent."""
        if not values:
            return
        texts = [value for value in values.values() if isinstance(value, str)]
        length = sum(map(len, texts))
        if length > UNMEASURED_LENGTH:
            dialect = self.dialect.connections
            limit = await dialect.read_size_limit(self.raw)
            if limit.may_exceed(length + UNMEASURED_LENGTH):
                limit.check(UNMEASURED_LENGTH + sum(map(dialect.measure_text, texts)))

    async def insert_many(self, table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows that have the values of these columns, one statement each."""
        names = [column.name for column in columns]
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        for row in rows:
            await self.execute(sql, dict(zip(names, row, strict=True)))

    def _qualify(self, sql: str) -> str:
        return sql if self._qualifier is None else self._qualifier.qualify_sql(sql)


def build_in_list(name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Return a list of binds for ``IN (...)`` and their values; an empty list matches nothing."""
    binds = {f"{name}_{index}": value for index, value in enumerate(values)}
    return ", ".join(f":{bind}" for bind in binds) or "NULL", binds
