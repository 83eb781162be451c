"""Migrations: they bring the tables to the schema of this Flowlet, safely under concurrent starts and kills.

PostgreSQL and SQLite run every missing step in one transaction. MySQL commits each statement of DDL by itself: there
each statement is idempotent, and recorded as begun before it runs and as applied after that, so that the next start
continues where a killed one stopped. In a Galera cluster the lock holds on one node only: of processes that migrate at
several nodes, the one that meets another's step continues behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from flowlet.errors import SchemaError, StoreUnavailableError
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.migrations.inspection import SchemaState, inspect_schema
from flowlet.store.migrations.steps import MIGRATIONS, Migration
from flowlet.store.tables import SCHEMA_VERSION

__all__ = ["check_schema", "upgrade_schema"]

PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""How long a migration waits for that of another process, which has recorded one of its steps or makes its table."""
_RECORD_APPLIED = f"UPDATE {SCHEMA_VERSION} SET applied = :now WHERE migration = :migration AND step = :step"


async def upgrade_schema(connections: Connections, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Apply the missing steps, one process at a time, and return how many there were.

    Where none is missing this only reads: the role needs no right to create anything.

    Raises:
        SchemaError: If the tables were made by a newer Flowlet, by another program, or are not complete.
        MissingRightsError: If the database denies the role a right.
        StoreUnavailableError: If the database is unavailable.
    """
    for pause in PAUSES_SECONDS:
        try:
            return await _upgrade_once(connections, migrations)
        except Exception as error:
            if not connections.dialect.errors.is_refusal(error):
                raise
        await asyncio.sleep(pause)  # noqa: TID251 - real time: another process works
    return await _upgrade_once(connections, migrations)


async def _upgrade_once(connections: Connections, migrations: Sequence[Migration]) -> int:
    state = await _inspect_schema(connections, migrations)
    if not state.missing:
        return 0
    return await connections.write(partial(_upgrade_under_lock, migrations=migrations), is_bounded=False)


async def check_schema(connections: Connections, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Refuse tables that do not fit this Flowlet.

    Raises:
        SchemaError: If they are missing, unfinished, newer, or made by another program.
        MissingRightsError: If the database denies the role a right.
        StoreUnavailableError: If the database is unavailable.
    """
    state = await _inspect_schema(connections, migrations)
    if not state.has_version_table:
        raise SchemaError("the database has no Flowlet tables. Run: flowlet db upgrade")
    if state.missing:
        raise SchemaError(
            f"the tables lack {len(state.missing)} steps of this Flowlet's schema. Run: flowlet db upgrade"
        )


async def _inspect_schema(connections: Connections, migrations: Sequence[Migration]) -> SchemaState:
    """Return what a database has of the tables.

    What is refused is read again under the lock: another process may make the tables while this one reads them.

    Raises:
        SchemaError: As ``inspect_schema``.
    """
    try:
        return await connections.read(partial(inspect_schema, migrations=migrations))
    except SchemaError as error:
        try:
            return await connections.write(partial(_inspect_under_lock, migrations=migrations), is_bounded=False)
        except StoreUnavailableError:  # also where the role, or the server, permits no writes
            raise error from None


async def _inspect_under_lock(session: DatabaseSession, migrations: Sequence[Migration]) -> SchemaState:
    async with _lock_migrations(session):
        return await inspect_schema(session, migrations)


async def _upgrade_under_lock(session: DatabaseSession, migrations: Sequence[Migration]) -> int:
    schema = session.dialect.schema
    async with _lock_migrations(session):
        state = await inspect_schema(session, migrations)
        if not state.has_version_table:
            await schema.prepare_schema(session.raw)
            for statement in schema.build_create_statements(SCHEMA_VERSION):
                await session.execute(statement)
        await _apply_missing_steps(session, state)
        return len(state.missing)


@asynccontextmanager
async def _lock_migrations(session: DatabaseSession) -> AsyncIterator[None]:
    """Let no other process migrate these tables for the length of the block."""
    schema = session.dialect.schema
    await schema.lock_migrations(session.raw)
    try:
        yield
    finally:
        await schema.unlock_migrations(session.raw)


async def _apply_missing_steps(session: DatabaseSession, state: SchemaState) -> None:
    now = await session.dialect.connections.read_time(session.raw)
    for place, step in state.missing.items():
        migration, number = place
        if place not in state.begun:
            await session.insert_many(SCHEMA_VERSION, SCHEMA_VERSION.columns, [(migration, number, None)])
        await session.execute(step.statement)
        await session.execute(_RECORD_APPLIED, {"now": now, "migration": migration, "step": number})
