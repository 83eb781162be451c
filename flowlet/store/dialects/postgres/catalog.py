"""What PostgreSQL's catalog says of the tables: where they are, their columns, and the rights that a role lacks.

The catalog shows every table to every role, so a missing right is not mistaken for a missing table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from flowlet.store.columns import Table
from flowlet.store.dialects.postgres.qualifier import quote_identifier
from flowlet.store.tables import SCHEMA_VERSION, TABLES

__all__ = ["describe_missing_rights", "find_schema", "find_taken_names", "read_columns", "refuse_closed_schema"]

# A role does not see the schemas of its search path that it may not use: without any, it is the usual one.
_SCHEMA = "SELECT COALESCE($1, current_schema(), 'public')"
_SCHEMA_RIGHTS = """
SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1
"""
# Without a schema of their own the tables are those that a statement finds by the search path.
_COLUMNS = """
SELECT c.relname, a.attname
FROM unnest($1::text[]) AS wanted(name)
JOIN pg_class c ON c.relname = wanted.name AND CASE WHEN $2::text IS NULL
    THEN c.oid = to_regclass(wanted.name)
    ELSE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $2) END
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
"""
# A table has a type of its own name.
_TAKEN_NAMES = """
SELECT relname FROM pg_class WHERE relname = ANY($1::text[]) AND relnamespace = to_regnamespace(quote_ident($3))
UNION ALL
SELECT typname FROM pg_type
WHERE typname = ANY($2::text[]) AND typrelid = 0 AND typnamespace = to_regnamespace(quote_ident($3))
"""
_TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_MISSING_TABLE_RIGHTS = """
SELECT c.relname, wanted.right_name FROM pg_class c CROSS JOIN unnest($3::text[]) AS wanted(right_name)
WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relname = ANY($2::text[])
    AND NOT has_table_privilege(c.oid, wanted.right_name)
ORDER BY 1, 2
"""
_NAMES = [table.name for table in (SCHEMA_VERSION, *TABLES)]


async def find_schema(raw: Any, schema: str | None) -> str:
    """Return the schema of the tables: the one that is set, or the first one that the role may use of its path."""
    found: str = await raw.fetchval(_SCHEMA, schema)
    return found


async def refuse_closed_schema(raw: Any, schema: str | None) -> None:
    """Refuse a schema that is there and that the role may not use: its tables would seem to be missing.

    Raises:
        asyncpg.InsufficientPrivilegeError: If that is so.
    """
    name = await find_schema(raw, schema)
    rights = await raw.fetchrow(_SCHEMA_RIGHTS, name)
    if rights is not None and not rights[0]:
        raise asyncpg.InsufficientPrivilegeError(f"permission denied for schema {name}")


async def read_columns(raw: Any, names: Sequence[str], schema: str | None) -> dict[str, frozenset[str]]:
    """Return the columns of the tables, views and other relations that have these names, by name."""
    found: dict[str, set[str]] = {}
    for name, column in await raw.fetch(_COLUMNS, list(names), schema):
        found.setdefault(name, set()).add(column)
    return {name: frozenset(columns) for name, columns in found.items()}


async def find_taken_names(raw: Any, tables: Sequence[Table], schema: str | None) -> list[str]:
    """Return the names of indexes and types that keep these tables, which are not there, from being created."""
    indexes = [index.name for table in tables for index in table.indexes]
    names = [table.name for table in tables]
    return [name for (name,) in await raw.fetch(_TAKEN_NAMES, indexes, names, await find_schema(raw, schema))]


async def describe_missing_rights(raw: Any, schema: str | None, error: BaseException) -> str:
    """Return which rights the role lacks, and the statements that grant them; the server's message names none."""
    name = await find_schema(raw, schema)
    role, database = await raw.fetchrow("SELECT current_user, current_database()")
    existing = await read_columns(raw, _NAMES, name)
    rights = await raw.fetchrow(_SCHEMA_RIGHTS, name)
    missing = await raw.fetch(_MISSING_TABLE_RIGHTS, name, _NAMES, list(_TABLE_RIGHTS))
    to_role = f"TO {quote_identifier(role)}"
    lacking, grants = [], []
    if rights is None:
        lacking.append(f"CREATE on the database {database}, to create the schema {name}")
        grants.append(f"GRANT CREATE ON DATABASE {quote_identifier(database)} {to_role}")
    elif not rights[0]:
        lacking.append(f"USAGE on the schema {name}")
        grants.append(f"GRANT USAGE ON SCHEMA {quote_identifier(name)} {to_role}")
    if rights is not None and not rights[1] and len(existing) < len(_NAMES):
        lacking.append(f"CREATE on the schema {name}")
        grants.append(f"GRANT CREATE ON SCHEMA {quote_identifier(name)} {to_role}")
    lacking += _list_table_rights(missing)
    if missing:
        tables = ", ".join(f"{quote_identifier(name)}.{table}" for table in dict.fromkeys(row[0] for row in missing))
        grants.append(f"GRANT {', '.join(_TABLE_RIGHTS)} ON {tables} {to_role}")
    if not lacking:
        return f"{error}. Run 'flowlet db upgrade' as the role that owns the tables, not as {role}"
    return f"{error}. The role {role} lacks {'; '.join(lacking)}. To grant it, their owner runs: {'; '.join(grants)}"


def _list_table_rights(missing: Sequence[Any]) -> Iterator[str]:
    tables: dict[str, list[str]] = {}
    for table, right in missing:
        tables.setdefault(table, []).append(right)
    for table, rights in tables.items():
        yield f"{', '.join(rights)} on {table}"
