"""Tables in SQLite."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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

    async def read_columns(self, raw: Any, names: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the columns of tables and views by name; SQLite does not distinguish upper and lower case."""
        # One statement for all tables: each one is a round trip to the connection's thread, at every start.
        asked = ", ".join(["(?)"] * len(names))
        sql = (
            f"WITH asked (name) AS (VALUES {asked}) "
            "SELECT asked.name, columns.name FROM asked JOIN pragma_table_info(asked.name) AS columns"
        )
        found: dict[str, set[str]] = defaultdict(set)
        async with raw.execute(sql, names) as cursor:
            for name, column in await cursor.fetchall():
                found[name].add(column.lower())
        return {name: frozenset(columns) for name, columns in found.items()}

    async def find_taken_names(self, raw: Any, tables: Sequence[Table]) -> list[str]:
        """Return the names of the tables' indexes that something else has."""
        names = [index.name for table in tables for index in table.indexes]
        sql = f"SELECT name FROM sqlite_master WHERE LOWER(name) IN ({', '.join('?' * len(names))})"
        async with raw.execute(sql, names) as cursor:
            return [name for (name,) in await cursor.fetchall()]

    async def prepare_schema(self, raw: Any) -> None:
        """Do nothing: SQLite has no schemas."""

    async def describe_missing_rights(self, raw: Any, error: BaseException) -> str:
        """Return the error: the rights are those of the file."""
        return str(error)

    async def lock_migrations(self, raw: Any) -> None:
        """Do nothing: BEGIN IMMEDIATE has locked the database."""

    async def unlock_migrations(self, raw: Any) -> None:
        """Do nothing: the end of the transaction unlocks."""
