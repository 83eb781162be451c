"""The tables: made once, however many start at the same time, and never half made for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from flowlet.errors import SchemaError
from flowlet.store.connection import Connections
from flowlet.store.migrations import check, upgrade
from flowlet.store.opening import dialect_of, open_store
from flowlet.store.schema import MIGRATIONS, Migration

DIALECTS = ("sqlite", "postgresql", "mysql")
FIRST, THIRD = "CREATE TABLE IF NOT EXISTS first (id integer)", "CREATE TABLE IF NOT EXISTS third (id integer)"
BROKEN = "CREATE TABLE second (id integer, id integer)"


def next_migration(*statements: str) -> tuple[Migration, ...]:
    """Return the migrations of a Flowlet that is newer by one."""
    return (*MIGRATIONS, Migration(MIGRATIONS[-1].number + 1, dict.fromkeys(DIALECTS, statements)))


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Connections]:
    connections = Connections(database_url, dialect_of(database_url))
    await connections.open()
    try:
        yield connections
    finally:
        await connections.close()


async def tables(connections: Connections, *names: str) -> set[str]:
    """Return which of these tables exist."""
    found = set()
    for name in names:
        try:
            await connections.read(lambda session, name=name: session.rows(f"SELECT id FROM {name}"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        except Exception:  # noqa: BLE001 - each driver says in its own way that there is none
            continue
        found.add(name)
    return found


async def test_every_step_is_applied_once(database_url: str) -> None:
    async with connected(database_url) as connections:
        first = await upgrade(connections)
        second = await upgrade(connections)

    assert first == sum(len(migration.statements[connections.dialect.name]) for migration in MIGRATIONS)
    assert second == 0


async def test_of_many_that_start_at_once_one_migrates_and_the_others_wait(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        starters = [await stack.enter_async_context(connected(database_url)) for _ in range(6)]

        applied = await asyncio.gather(*map(upgrade, starters))

        assert sum(steps > 0 for steps in applied) == 1
        for starter in starters:
            await check(starter)


async def test_a_migration_that_breaks_off_is_rolled_back_where_the_database_can(database_url: str) -> None:
    async with connected(database_url) as connections:
        await upgrade(connections)

        with pytest.raises(Exception, match="(?i)duplicate column|specified more than once"):
            await upgrade(connections, next_migration(FIRST, BROKEN, THIRD))

        made = await tables(connections, "first", "third")
        assert made == ({"first"} if connections.dialect.name == "mysql" else set())


async def test_the_next_start_goes_on_where_a_broken_migration_stopped(database_url: str) -> None:
    async with connected(database_url) as connections:
        await upgrade(connections)
        with pytest.raises(Exception, match="(?i)duplicate column|specified more than once"):
            await upgrade(connections, next_migration(FIRST, BROKEN, THIRD))

        applied = await upgrade(connections, next_migration(FIRST, "SELECT 1", THIRD))

        assert applied in (2, 3)
        assert await tables(connections, "first", "third") == {"first", "third"}
        await check(connections, next_migration(FIRST, "SELECT 1", THIRD))


async def test_a_start_after_a_kill_between_a_step_and_its_record_goes_on(mariadb_url: str) -> None:
    async with connected(mariadb_url) as connections:
        await upgrade(connections)
        later = sum(len(migration.statements["mysql"]) - 1 for migration in MIGRATIONS)
        forget = "DELETE FROM schema_version WHERE step >= :step"
        await connections.write(lambda session: session.execute(forget, {"step": 1}))

        assert await upgrade(connections) == later
        await check(connections)


async def test_tables_made_by_a_newer_flowlet_are_refused(database_url: str) -> None:
    async with connected(database_url) as connections:
        await upgrade(connections, next_migration(FIRST))

        for look in (upgrade, check):
            with pytest.raises(SchemaError, match="a newer Flowlet made them"):
                await look(connections)


async def test_a_database_without_tables_is_refused_with_the_cure(database_url: str) -> None:
    with pytest.raises(SchemaError, match="no Flowlet tables. Run: flowlet db upgrade"):
        async with open_store(database_url, migrate=False):
            pass


async def test_unfinished_tables_are_refused_with_the_cure(database_url: str) -> None:
    async with connected(database_url) as connections:
        await upgrade(connections)

        with pytest.raises(SchemaError, match="the tables lack 2 steps of this Flowlet's schema. Run: flowlet db"):
            await check(connections, next_migration(FIRST, THIRD))


async def test_a_lock_is_let_go_when_a_migration_breaks_off(database_url: str) -> None:
    async with connected(database_url) as breaking, connected(database_url) as waiting:
        with pytest.raises(Exception, match="(?i)duplicate column|specified more than once"):
            await upgrade(breaking, next_migration(BROKEN))

        async with asyncio.timeout(10):
            await upgrade(waiting)
