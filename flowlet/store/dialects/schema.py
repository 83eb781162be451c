"""What differs between the databases in the tables' declarations and the lock of migrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from flowlet.store.columns import ColumnType, Index, Table

__all__ = ["SchemaDialect", "build_index_statement", "build_table_statement"]


class SchemaDialect(Protocol):
    """How tables are created, one process at a time."""

    def build_create_statements(self, table: Table) -> list[str]:
        """Return the statements that create a table and its indexes, each without effect where it has run before."""
        ...

    async def lock_migrations(self, raw: Any) -> None:
        """Wait until no other process migrates."""
        ...

    async def unlock_migrations(self, raw: Any) -> None:
        """Let the next process migrate, where the end of the transaction does not."""
        ...


def build_table_statement(
    table: Table, types: Mapping[ColumnType, str], *, more: Iterable[str] = (), options: str = ""
) -> str:
    """Return CREATE TABLE.

    Args:
        table: The table.
        types: The database's names of the types.
        more: Further lines of the declaration: generated columns and keys.
        options: What follows the declaration.
    """
    lines = [f"{column.name} {types[column.type]} {column.constraint}".rstrip() for column in table.columns]
    lines += [f"PRIMARY KEY ({', '.join(table.primary_key)})"] if table.primary_key else []
    declaration = ",\n    ".join([*lines, *more])
    return f"CREATE TABLE IF NOT EXISTS {table} (\n    {declaration}\n){options}"


def build_index_statement(table: Table, index: Index, *, more_columns: Iterable[str] = ()) -> str:
    """Return CREATE INDEX, for a database that has partial indexes."""
    columns = ", ".join([*index.columns, *more_columns])
    where = f" WHERE {index.where}" if index.where else ""
    return f"CREATE INDEX IF NOT EXISTS {index.name} ON {table} ({columns}){where}"
