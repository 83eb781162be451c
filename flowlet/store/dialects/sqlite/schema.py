"""Tables in SQLite."""

from __future__ import annotations

from typing import Any

from flowlet.store.columns import ColumnType, Table
from flowlet.store.dialects.schema import build_index_statement, build_table_statement

__all__ = ["SQLiteSchema"]

_TYPES = {
    ColumnType.IDENTITY: "integer PRIMARY KEY AUTOINCREMENT",
    **dict.fromkeys((ColumnType.NAME, ColumnType.KEY, ColumnType.WORD, ColumnType.TEXT), "text"),
    **dict.fromkeys((ColumnType.FLAG, ColumnType.SMALL), "smallint"),
    ColumnType.INTEGER: "integer",
    ColumnType.BIG: "bigint",
}


class SQLiteSchema:
    """SQLite's part for tables."""

    def build_create_statements(self, table: Table) -> list[str]:
        """Return CREATE TABLE and CREATE INDEX."""
        return [build_table_statement(table, _TYPES), *(build_index_statement(table, one) for one in table.indexes)]

    async def lock_migrations(self, raw: Any) -> None:
        """Do nothing: BEGIN IMMEDIATE has locked the database."""

    async def unlock_migrations(self, raw: Any) -> None:
        """Do nothing: the end of the transaction unlocks."""
