"""What differs between the databases in the tables' declarations, the catalog and the lock of migrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from flowlet.store.columns import ColumnType, Index, Table

__all__ = ["SchemaDialect", "build_index_statement", "build_table_statement"]


class SchemaDialect(Protocol):
    """How tables are found and created, one process at a time."""

    def build_create_statements(self, table: Table) -> list[str]:
        """Return the statements that create a table, and then its indexes.

        Where the database commits each of them by itself, each is without effect if it has run before.
        """
        ...

    async def read_columns(self, raw: Any, names: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the columns of the tables and views that have these names, by name; one that is not there is left out.

        Raises:
            Exception: The driver's error if the user may not see them.
        """
        ...

    async def find_taken_names(self, raw: Any, tables: Sequence[Table]) -> list[str]:
        """Return the names of indexes and types that keep these tables, which are not there, from being created."""
        ...

    async def prepare_schema(self, raw: Any) -> None:
        """Create the schema that the tables are to be in, where there is such a thing and it is missing."""
        ...

    async def describe_missing_rights(self, raw: Any, error: BaseException) -> str:
        """Return which rights the user lacks, and the statements that grant them, after an error that says so."""
        ...

    async def lock_migrations(self, raw: Any) -> None:
        """Wait until no other process migrates."""
        ...

    async def unlock_migrations(self, raw: Any) -> None:
        """Let the next process migrate, where the end of the transaction does not."""
        ...


def build_table_statement(
    table: Table,
    types: Mapping[ColumnType, str],
    *,
    more: Iterable[str] = (),
    options: str = "",
    verb: str = "CREATE TABLE",
) -> str:
    """Return CREATE TABLE.

    Args:
        table: The table.
        types: The database's names of the types.
        more: Further lines of the declaration: generated columns and keys.
        options: What follows the declaration.
        verb: How the statement begins.
    """
    lines = [f"{column.name} {types[column.type]} {column.constraint}".rstrip() for column in table.columns]
    lines += [f"PRIMARY KEY ({', '.join(table.primary_key)})"] if table.primary_key else []
    declaration = ",\n    ".join([*lines, *more])
    return f"{verb} {table} (\n    {declaration}\n){options}"


def build_index_statement(table: Table, index: Index, *, more_columns: Iterable[str] = ()) -> str:
    """Return CREATE INDEX, for a database that has partial indexes."""
    columns = ", ".join([*index.columns, *more_columns])
    where = f" WHERE {index.where}" if index.where else ""
    kind = "UNIQUE INDEX" if index.is_unique else "INDEX"
    return f"CREATE {kind} {index.name} ON {table} ({columns}){where}"
