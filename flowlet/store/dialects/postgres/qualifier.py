"""Tables in a schema of their own: statements name each table with its schema, on their way to the driver.

The search path is never set: a handler's own statements run on the same connections, and have to find what the role's
path says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from flowlet.store.tables import SCHEMA_VERSION, TABLES

__all__ = ["SchemaQualifier", "quote_identifier"]

CACHED_STATEMENTS = 1_024
_TABLE_NAME = re.compile(rf"(?<![\w.\"])({'|'.join(table.name for table in (*TABLES, SCHEMA_VERSION))})(?!\w)")


def quote_identifier(name: str) -> str:
    """Return a name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


class SchemaQualifier:
    """Puts the schema before the name of each table of Flowlet.

    Args:
        schema: The schema's name, checked by ``check_schema_name``.
    """

    def __init__(self, schema: str) -> None:
        replacement = f"{quote_identifier(schema)}.".replace("\\", r"\\") + r"\1"
        self.qualify_sql = lru_cache(maxsize=CACHED_STATEMENTS)(lambda sql: _TABLE_NAME.sub(replacement, sql))

    def wrap_connection(self, raw: Any) -> Any:
        """Return the driver's connection, whose statements name the schema."""
        return _QualifiedConnection(raw, self)


class _QualifiedConnection:
    """A connection of asyncpg whose statements name the schema of Flowlet's tables."""

    __slots__ = ("_qualifier", "_raw")

    def __init__(self, raw: Any, qualifier: SchemaQualifier) -> None:
        self._raw = raw
        self._qualifier = qualifier

    async def execute(self, sql: str, *values: Any, **options: Any) -> str:
        """Run a statement."""
        status: str = await self._raw.execute(self._qualifier.qualify_sql(sql), *values, **options)
        return status

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]], **options: Any) -> None:
        """Run a statement for each of the rows of values."""
        await self._raw.executemany(self._qualifier.qualify_sql(sql), rows, **options)

    async def fetch(self, sql: str, *values: Any, **options: Any) -> list[Any]:
        """Run a statement and return its rows."""
        rows: list[Any] = await self._raw.fetch(self._qualifier.qualify_sql(sql), *values, **options)
        return rows

    async def fetchrow(self, sql: str, *values: Any, **options: Any) -> Any:
        """Run a statement and return its first row."""
        return await self._raw.fetchrow(self._qualifier.qualify_sql(sql), *values, **options)

    async def fetchval(self, sql: str, *values: Any, **options: Any) -> Any:
        """Run a statement and return its first value."""
        return await self._raw.fetchval(self._qualifier.qualify_sql(sql), *values, **options)

    def __getattr__(self, name: str) -> Any:
        """Return whatever else the driver's connection has."""
        if name in ("prepare", "cursor", "copy_records_to_table"):
            raise NotImplementedError(f"{name} does not name the schema of Flowlet's tables")
        return getattr(self._raw, name)
