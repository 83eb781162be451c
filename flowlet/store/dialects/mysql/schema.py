"""Tables in MariaDB and MySQL, which have no partial index.

A generated column that is NULL for the rows that must not be found takes the place of an index's condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowlet.store.columns import ColumnType, Table
from flowlet.store.dialects.mysql.statement import fetch_rows
from flowlet.store.dialects.schema import build_table_statement
from flowlet.store.tables import (
    CANCELLED_INDEX,
    DUE_INDEX,
    FAILING_INDEX,
    IS_FAILING,
    IS_READY,
    RETRYING_INDEX,
    WORKFLOW,
)

__all__ = ["DUE_COLUMN", "FAILING_COLUMN", "MySQLSchema"]

MIGRATION_LOCK_SECONDS = 120
DUE_COLUMN, FAILING_COLUMN = "due", "failing"
_OPTIONS = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC"
_TYPES = {
    ColumnType.IDENTITY: "bigint NOT NULL AUTO_INCREMENT PRIMARY KEY",
    ColumnType.NAME: "varchar(255)",
    ColumnType.KEY: "varchar(255)",
    ColumnType.WORD: "varchar(64)",
    ColumnType.TEXT: "longtext",
    ColumnType.FLAG: "smallint",
    ColumnType.SMALL: "smallint",
    ColumnType.INTEGER: "integer",
    ColumnType.BIG: "bigint",
}
_GENERATED_COLUMNS = {
    WORKFLOW.name: (
        f"{DUE_COLUMN} bigint GENERATED ALWAYS AS (CASE WHEN {IS_READY} THEN next_activation END) VIRTUAL",
        f"{FAILING_COLUMN} varchar(64) GENERATED ALWAYS AS (CASE WHEN {IS_FAILING} THEN status END) VIRTUAL",
    )
}
_INDEXED_COLUMNS = {
    DUE_INDEX.name: ("executor_group", "priority", DUE_COLUMN),
    FAILING_INDEX.name: ("fingerprint", "failed", "workflow_type", FAILING_COLUMN),
}
"""The columns of the indexes that have a generated one."""

_OMITTED_INDEXES = frozenset({CANCELLED_INDEX.name, RETRYING_INDEX.name})
"""The indexes that without their condition would list every instance; the one of statuses serves instead."""


class MySQLSchema:
    """The part of MariaDB and MySQL for tables."""

    def build_create_statements(self, table: Table) -> list[str]:
        """Return CREATE TABLE, which has the indexes too: a table without them would be left by a kill in between."""
        more = [*_GENERATED_COLUMNS.get(table.name, ()), *_list_keys(table)]
        return [build_table_statement(table, _TYPES, more=more, options=_OPTIONS)]

    async def lock_migrations(self, raw: Any) -> None:
        """Wait until no other process migrates this database, and silence the notes about tables that exist."""
        sql = "SELECT GET_LOCK(CONCAT('flowlet ', DATABASE()), %s)"
        ((is_locked,),) = await fetch_rows(raw, sql, (MIGRATION_LOCK_SECONDS,))
        if is_locked != 1:
            raise TimeoutError(f"another process has been migrating for {MIGRATION_LOCK_SECONDS} seconds")
        await fetch_rows(raw, "SET SESSION sql_notes = 0")

    async def unlock_migrations(self, raw: Any) -> None:
        """Let the next process migrate."""
        await fetch_rows(raw, "SET SESSION sql_notes = 1")
        await fetch_rows(raw, "SELECT RELEASE_LOCK(CONCAT('flowlet ', DATABASE()))")


def _list_keys(table: Table) -> Iterator[str]:
    for index in table.indexes:
        if index.name not in _OMITTED_INDEXES:
            yield f"KEY {index.name} ({', '.join(_INDEXED_COLUMNS.get(index.name, index.columns))})"
