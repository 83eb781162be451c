"""Bringing the tables to what this Flowlet needs, safely under concurrent starts and a kill in the middle.

PostgreSQL and SQLite run every missing step in one transaction. MySQL commits each statement of DDL by itself: there
each statement is idempotent and recorded on its own, so that the next start goes on where a killed one stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowlet.errors import SchemaError, StoreUnavailableError
from flowlet.store.connection import Connections, DatabaseSession
from flowlet.store.schema import MIGRATIONS, Migration

__all__ = ["check_schema", "upgrade_schema"]

_VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS schema_version (
    migration integer NOT NULL, step integer NOT NULL, applied bigint NOT NULL, PRIMARY KEY (migration, step)
)
"""


async def upgrade_schema(connections: Connections, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Apply the missing steps, one process at a time, and return how many there were.

    Raises:
        SchemaError: If the tables were made by a newer Flowlet.
        StoreUnavailableError: If the database is away.
    """

    async def apply_under_lock(session: DatabaseSession) -> int:
        dialect = session.dialect
        await dialect.lock_migrations(session.raw)
        try:
            await session.execute(_VERSION_TABLE)
            done = await _read_applied_steps(session)
            _refuse_newer(done, migrations)
            return await _apply_missing_steps(session, done, migrations)
        finally:
            await dialect.unlock_migrations(session.raw)

    return await connections.write(apply_under_lock, is_bounded=False)


async def check_schema(connections: Connections, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Refuse tables that do not fit this Flowlet.

    Raises:
        SchemaError: If they are missing, unfinished, or newer.
        StoreUnavailableError: If the database is away.
    """
    try:
        done = await connections.read(_read_applied_steps)
    except StoreUnavailableError:
        raise
    except Exception as error:
        raise SchemaError("the database has no Flowlet tables. Run: flowlet db upgrade") from error
    _refuse_newer(done, migrations)
    missing = len(_list_steps(connections.dialect.name, migrations) - done)
    if missing:
        raise SchemaError(f"the tables lack {missing} steps of this Flowlet's schema. Run: flowlet db upgrade")


async def _read_applied_steps(session: DatabaseSession) -> set[tuple[int, int]]:
    return {(row[0], row[1]) for row in await session.fetch_rows("SELECT migration, step FROM schema_version")}


async def _apply_missing_steps(
    session: DatabaseSession, done: set[tuple[int, int]], migrations: Sequence[Migration]
) -> int:
    missing = sorted(_list_steps(session.dialect.name, migrations) - done)
    by_number = {migration.number: migration for migration in migrations}
    now = await session.dialect.read_time(session.raw)
    for number, step in missing:
        await session.execute(by_number[number].statements[session.dialect.name][step])
        await session.execute(
            "INSERT INTO schema_version (migration, step, applied) VALUES (:migration, :step, :applied)",
            {"migration": number, "step": step, "applied": now},
        )
    return len(missing)


def _list_steps(dialect: str, migrations: Sequence[Migration]) -> set[tuple[int, int]]:
    return {(m.number, step) for m in migrations for step in range(len(m.statements[dialect]))}


def _refuse_newer(done: set[tuple[int, int]], migrations: Sequence[Migration]) -> None:
    newest = max((number for number, _ in done), default=0)
    known = max(migration.number for migration in migrations)
    if newest > known:
        raise SchemaError(
            f"the tables have migration {newest}, this Flowlet knows up to {known}: a newer Flowlet made them. "
            "Install at least that version"
        )
