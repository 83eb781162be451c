"""Tables in MariaDB and MySQL, which have no partial index and no fill factor.

A generated column that is NULL for the rows that must not be found takes the place of an index's condition. It is
stored: indexes of virtual columns have been corrupted by updates and the purge of old versions (MDEV-38140).

New rows fill their pages, and each one grows: by the executor's id, by its variables. Where a page has no room left,
each update moves and logs much of the page. So a new row has a text that its first claim removes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pymysql

from flowlet.store.columns import ColumnType, Table
from flowlet.store.dialects.mysql.statement import fetch_rows
from flowlet.store.dialects.schema import build_table_statement
from flowlet.store.people.tables import ASKING_INDEX, DEADLINE, RECEIVING_INDEX
from flowlet.store.tables import (
    CANCELLED_INDEX,
    DUE_INDEX,
    ENDED_INDEX,
    FAILING_INDEX,
    GATE_INDEX,
    IS_ENDED_ROOT,
    IS_FAILING,
    IS_GATED,
    IS_QUEUED,
    RETRYING_INDEX,
    WORKFLOW,
)

__all__ = [
    "ASKS_COLUMN",
    "DEADLINE_COLUMN",
    "DUE_COLUMN",
    "DUE_TYPE_COLUMN",
    "ENDED_STATUS_COLUMN",
    "FAILING_COLUMN",
    "GATED_DUE_COLUMN",
    "GATED_STATUS_COLUMN",
    "ROOM_COLUMN",
    "MySQLSchema",
]

MIGRATION_LOCK_SECONDS = 120
DUE_TYPE_COLUMN, DUE_COLUMN = "due_type", "due"
GATED_STATUS_COLUMN, GATED_DUE_COLUMN = "gated_status", "gated_due"
FAILING_COLUMN = "failing"
ENDED_STATUS_COLUMN = "ended_status"
ASKS_COLUMN, DEADLINE_COLUMN = "asks", "deadline"
"""Whether an instance waits for a person, 1, or for a message, 0, and its deadline; NULL for any other status."""
ROOM_COLUMN, ROOM = "room", 100
"""The column of the text that a claim removes, and its characters."""
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
_HAS_DUE_TIME = f"{IS_QUEUED} AND next_activation IS NOT NULL"
_IS_WAITING = "status = 'WAITING'"


def _build_generated_column(name: str, type: str, condition: str, column: str) -> str:
    return f"{name} {type} GENERATED ALWAYS AS (CASE WHEN {condition} THEN {column} END) STORED"


_MORE_COLUMNS = {
    WORKFLOW.name: (
        f"{ROOM_COLUMN} varchar({ROOM}) CHARACTER SET latin1 NOT NULL DEFAULT '{'-' * ROOM}'",
        _build_generated_column(DUE_TYPE_COLUMN, "varchar(255)", _HAS_DUE_TIME, "workflow_type"),
        _build_generated_column(DUE_COLUMN, "bigint", _HAS_DUE_TIME, "next_activation"),
        _build_generated_column(GATED_STATUS_COLUMN, "varchar(64)", IS_GATED, "status"),
        _build_generated_column(GATED_DUE_COLUMN, "bigint", IS_GATED, "next_activation"),
        _build_generated_column(FAILING_COLUMN, "varchar(64)", IS_FAILING, "status"),
        _build_generated_column(ENDED_STATUS_COLUMN, "varchar(64)", IS_ENDED_ROOT, "status"),
        _build_generated_column(ASKS_COLUMN, "smallint", _IS_WAITING, "awaits IS NULL"),
        _build_generated_column(DEADLINE_COLUMN, "bigint", _IS_WAITING, DEADLINE),
    )
}
_INDEXED_COLUMNS = {
    DUE_INDEX.name: ("executor_group", DUE_TYPE_COLUMN, "priority", DUE_COLUMN),
    GATE_INDEX.name: ("gate", GATED_STATUS_COLUMN, "priority", GATED_DUE_COLUMN),
    FAILING_INDEX.name: ("fingerprint", "failed", "workflow_type", FAILING_COLUMN),
    ENDED_INDEX.name: (ENDED_STATUS_COLUMN, "workflow_type", "ended"),
    ASKING_INDEX.name: (ASKS_COLUMN, DEADLINE_COLUMN, "id", "workflow_type"),
}
"""The columns of the indexes that have a generated one."""

_OMITTED_INDEXES = frozenset({CANCELLED_INDEX.name, RETRYING_INDEX.name, RECEIVING_INDEX.name})
"""The indexes that without their condition would list every instance: the one of statuses serves instead, and one for
all that wait."""

# The name of a lock has at most 64 characters, without regard to upper and lower case; it is known in the whole server.
_LOCK_NAME = "CONCAT('flowlet ', SHA2(DATABASE(), 224))"
_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name IN ({names})
"""
_DDL_DENIED = re.compile(r"\b(CREATE|ALTER|INDEX|DROP)\b.* command denied", re.IGNORECASE)
_NO_SUCH_TABLE = 1146


class MySQLSchema:
    """The part of MariaDB and MySQL for tables."""

    def build_create_statements(self, table: Table) -> list[str]:
        """Return CREATE TABLE, which has the indexes too: a table without them would be left by a kill in between."""
        more = [*_MORE_COLUMNS.get(table.name, ()), *_list_keys(table)]
        verb = "CREATE TABLE IF NOT EXISTS"  # each statement of DDL is committed by itself, and may have run before
        return [build_table_statement(table, _TYPES, more=more, options=_OPTIONS, verb=verb)]

    async def read_columns(self, raw: Any, names: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the columns of tables and views by name. The catalog hides what the user has no right to."""
        found: dict[str, set[str]] = {}
        for table, column in await fetch_rows(raw, _COLUMNS.format(names=", ".join(["%s"] * len(names))), names):
            found.setdefault(table, set()).add(column)
        for name in names:
            if name not in found:
                await _refuse_hidden_table(raw, name)
        return {table: frozenset(columns) for table, columns in found.items()}

    async def find_taken_names(self, raw: Any, tables: Sequence[Table]) -> list[str]:
        """Return none: the name of an index is its table's own."""
        return []

    async def prepare_schema(self, raw: Any) -> None:
        """Do nothing: the database is the schema."""

    async def describe_missing_rights(self, raw: Any, error: BaseException) -> str:
        """Return the server's message, which names the right and the table, and the statement that grants it."""
        ((user, database),) = await fetch_rows(raw, "SELECT CURRENT_USER(), DATABASE()")
        name, _, host = user.rpartition("@")
        is_about_tables = _DDL_DENIED.search(str(error)) is not None
        rights = "CREATE, ALTER, INDEX" if is_about_tables else "SELECT, INSERT, UPDATE, DELETE"
        whose = "the user who is to run 'flowlet db upgrade'" if is_about_tables else "the user"
        cure = f"GRANT {rights} ON `{database}`.* TO '{name}'@'{host}'"
        return f"{error.args[-1]}. To give {whose} the right, an administrator runs: {cure}"

    async def lock_migrations(self, raw: Any) -> None:
        """Wait until no other process migrates this database, however long a statement may take on the server."""
        await raw.lift_time_limit()
        ((is_locked,),) = await fetch_rows(raw, f"SELECT GET_LOCK({_LOCK_NAME}, %s)", (MIGRATION_LOCK_SECONDS,))
        if is_locked != 1:
            raise TimeoutError(f"another process has been migrating for {MIGRATION_LOCK_SECONDS} seconds")

    async def unlock_migrations(self, raw: Any) -> None:
        """Let the next process migrate."""
        await fetch_rows(raw, f"SELECT RELEASE_LOCK({_LOCK_NAME})")
        await fetch_rows(raw, "SET SESSION /*M! max_statement_time = DEFAULT, */ sql_notes = 0")


async def _refuse_hidden_table(raw: Any, name: str) -> None:
    """Raise the server's error if there may be a table that the user has no right to."""
    try:
        await fetch_rows(raw, f"SELECT 1 FROM {name} LIMIT 0")
    except pymysql.err.ProgrammingError as error:
        if error.args[0] != _NO_SUCH_TABLE:
            raise


def _list_keys(table: Table) -> Iterator[str]:
    for index in table.indexes:
        if index.name not in _OMITTED_INDEXES:
            kind = "UNIQUE KEY" if index.is_unique else "KEY"
            yield f"{kind} {index.name} ({', '.join(_INDEXED_COLUMNS.get(index.name, index.columns))})"
