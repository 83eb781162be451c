"""A session with the database: the statements of one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.store.columns import Column, Table
from flowlet.store.commits import Commit
from flowlet.store.dialects.base import Dialect

__all__ = ["DatabaseSession", "build_in_list"]


class DatabaseSession:
    """One connection of the database. Statements are portable text with ``:named`` values.

    ``raw`` is the driver's own connection, for what a dialect's module writes in the database's own way.

    Attributes:
        pending_commit: What the transaction will have committed, for those that wait for commits; None for nothing.
    """

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self.connection = connection
        self.dialect = dialect
        self.pending_commit: Commit | None = None

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        return self.connection.raw_connection

    @property
    def is_lost(self) -> bool:
        """Whether the connection has been closed, by either side."""
        return self.dialect.connections.is_closed(self.raw)

    async def fetch_rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return every row as a tuple."""
        records = await self.connection.fetch_all(sql, values)
        return [tuple(record._mapping.values()) for record in records]

    async def execute(self, sql: str, values: dict[str, Any] | None = None) -> None:
        """Run one statement; its result is ignored, because the drivers disagree about it."""
        await self.connection.execute(sql, values)

    async def insert_many(self, table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows that have the values of these columns, one statement each."""
        names = [column.name for column in columns]
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        for row in rows:
            await self.execute(sql, dict(zip(names, row, strict=True)))


def build_in_list(name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Return a list of binds for ``IN (...)`` and their values; an empty list matches nothing."""
    binds = {f"{name}_{index}": value for index, value in enumerate(values)}
    return ", ".join(f":{bind}" for bind in binds) or "NULL", binds
