"""Migrations: they bring the tables to the schema of this Flowlet, safely under concurrent starts and kills.

PostgreSQL and SQLite run every missing step in one transaction. MySQL commits each statement of DDL by itself: there
each statement is idempotent and recorded on its own, so that the next start continues where a killed one stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.errors import SchemaError, StoreUnavailableError
from flowlet.store.columns import Table
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.schema import SchemaDialect
from flowlet.store.tables import SCHEMA_VERSION, TABLES

__all__ = ["MIGRATIONS", "Migration", "check_schema", "upgrade_schema"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change of the tables.

    Attributes:
        tables: The tables to create, as they are declared now: before the first release there is one migration.
        statements: What to run after that, the same on every database; each one may run twice.
    """

    number: int
    tables: tuple[Table, ...] = ()
    statements: tuple[str, ...] = ()

    def list_steps(self, schema: SchemaDialect) -> list[str]:
        """Return the statements for a database, in their order."""
        return [step for table in self.tables for step in schema.build_create_statements(table)] + [*self.statements]


MIGRATIONS = (Migration(1, TABLES),)


async def upgrade_schema(connections: Connections, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Apply the missing steps, one process at a time, and return how many there were.

    Raises:
        SchemaError: If the tables were made by a newer Flowlet.
        StoreUnavailableError: If the database is unavailable.
    """

    async def apply_under_lock(session: DatabaseSession) -> int:
        dialect = session.dialect
        await dialect.schema.lock_migrations(session.raw)
        try:
            for statement in dialect.schema.build_create_statements(SCHEMA_VERSION):
                await session.execute(statement)
            done = await _read_applied_steps(session)
            _refuse_newer(done, migrations)
            return await _apply_missing_steps(session, done, migrations)
        finally:
            await dialect.schema.unlock_migrations(session.raw)

    return await connections.write(apply_under_lock, is_bounded=False)


async def check_schema(connections: Connections, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Refuse tables that do not fit this Flowlet.

    Raises:
        SchemaError: If they are missing, unfinished, or newer.
        StoreUnavailableError: If the database is unavailable.
    """
    try:
        done = await connections.read(_read_applied_steps)
    except StoreUnavailableError:
        raise
    except Exception as error:
        raise SchemaError("the database has no Flowlet tables. Run: flowlet db upgrade") from error
    _refuse_newer(done, migrations)
    missing = len(_list_steps(connections.dialect.schema, migrations).keys() - done)
    if missing:
        raise SchemaError(f"the tables lack {missing} steps of this Flowlet's schema. Run: flowlet db upgrade")


async def _read_applied_steps(session: DatabaseSession) -> set[tuple[int, int]]:
    rows = await session.fetch_rows(f"SELECT migration, step FROM {SCHEMA_VERSION}")
    return {(migration, step) for migration, step in rows}


async def _apply_missing_steps(
    session: DatabaseSession, done: set[tuple[int, int]], migrations: Sequence[Migration]
) -> int:
    statements = _list_steps(session.dialect.schema, migrations)
    missing = sorted(statements.keys() - done)
    now = await session.dialect.connections.read_time(session.raw)
    for number, step in missing:
        await session.execute(statements[number, step])
        await session.insert_many(SCHEMA_VERSION, SCHEMA_VERSION.columns, [(number, step, now)])
    return len(missing)


def _list_steps(schema: SchemaDialect, migrations: Sequence[Migration]) -> dict[tuple[int, int], str]:
    """Return the statement of each step, by the migration's number and the step's place in it."""
    return {
        (migration.number, place): statement
        for migration in migrations
        for place, statement in enumerate(migration.list_steps(schema))
    }


def _refuse_newer(done: set[tuple[int, int]], migrations: Sequence[Migration]) -> None:
    newest = max((number for number, _ in done), default=0)
    known = max(migration.number for migration in migrations)
    if newest > known:
        raise SchemaError(
            f"the tables have migration {newest}, this Flowlet knows up to {known}: a newer Flowlet made them. "
            "Install at least that version"
        )
