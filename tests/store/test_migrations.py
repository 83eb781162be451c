"""The tables: made once, however many start at the same time, and never half made for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from flowlet.errors import SchemaError
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.migrations import MIGRATIONS, Migration, check_schema, upgrade_schema
from flowlet.store.migrations.inspection import inspect_schema
from flowlet.store.opening import load_dialect, open_store
from flowlet.store.tables import TABLES

CREATE_FIRST_SQL, CREATE_THIRD_SQL = (
    "CREATE TABLE IF NOT EXISTS first (id integer)",
    "CREATE TABLE IF NOT EXISTS third (id integer)",
)
BROKEN_SQL = "CREATE TABLE second (id integer, id integer)"


def append_migration(*statements: str) -> tuple[Migration, ...]:
    """Return the migrations of a Flowlet that is newer by one."""
    return (*MIGRATIONS, Migration(MIGRATIONS[-1].number + 1, statements=statements))


@asynccontextmanager
async def open_connections(database_url: str, *, schema: str | None = None) -> AsyncIterator[Connections]:
    connections = Connections(database_url, load_dialect(database_url, schema=schema))
    await connections.open()
    try:
        yield connections
    finally:
        await connections.close()


async def find_tables(connections: Connections, *names: str) -> set[str]:
    """Return which of these tables exist."""
    found = set()
    for name in names:
        try:
            await connections.read(lambda session, name=name: session.fetch_rows(f"SELECT id FROM {name}"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        except Exception:  # noqa: BLE001 - each driver says in its own way that there is none
            continue
        found.add(name)
    return found


async def test_every_step_is_applied_once(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        first = await upgrade_schema(connections)
        second = await upgrade_schema(connections)

    assert first == sum(len(migration.list_steps(connections.dialect.schema)) for migration in MIGRATIONS)
    assert second == 0


async def test_of_many_that_start_at_once_one_migrates_and_the_others_wait(empty_database_url: str) -> None:
    async with AsyncExitStack() as stack:
        starters = [await stack.enter_async_context(open_connections(empty_database_url)) for _ in range(6)]

        applied = await asyncio.gather(*map(upgrade_schema, starters))

        assert sum(steps > 0 for steps in applied) == 1
        for starter in starters:
            await check_schema(starter)


async def test_tables_that_another_process_makes_meanwhile_are_not_taken_for_foreign_ones(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_connections(empty_database_url) as one, open_connections(empty_database_url) as other:
        schema = one.dialect.schema
        is_first, original = True, schema.read_columns

        async def read_columns(raw: Any, names: Sequence[str]) -> Mapping[str, frozenset[str]]:
            nonlocal is_first
            columns = await original(raw, names)
            if is_first:
                is_first = False
                await upgrade_schema(other)
            return columns

        monkeypatch.setattr(type(schema), "read_columns", lambda _, raw, names: read_columns(raw, names))

        assert await upgrade_schema(one) == 0
        await check_schema(one)


async def test_a_table_that_another_node_makes_while_this_one_reads_is_not_missing(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is one node's, so it is made between the reading of the tables and that of the steps."""
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections)
        original, reads = connections.dialect.schema.read_columns, list[int]()

        async def read_columns(_: Any, raw: Any, names: Sequence[str]) -> Mapping[str, frozenset[str]]:
            columns = await original(raw, names)
            reads.append(len(columns))
            return columns if len(reads) > 1 else {name: columns[name] for name in names[:-1]}

        monkeypatch.setattr(type(connections.dialect.schema), "read_columns", read_columns)

        state = await connections.read(lambda session: inspect_schema(session, MIGRATIONS))

        assert (state.has_version_table, state.missing, len(reads)) == (True, {}, 2)


async def test_a_migration_that_breaks_off_is_rolled_back_where_the_database_can(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections)

        with pytest.raises(Exception, match="(?i)duplicate column|specified more than once"):
            await upgrade_schema(connections, append_migration(CREATE_FIRST_SQL, BROKEN_SQL, CREATE_THIRD_SQL))

        made = await find_tables(connections, "first", "third")
        assert made == ({"first"} if connections.dialect.name == "mysql" else set())


async def test_the_next_start_goes_on_where_a_broken_migration_stopped(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections)
        with pytest.raises(Exception, match="(?i)duplicate column|specified more than once"):
            await upgrade_schema(connections, append_migration(CREATE_FIRST_SQL, BROKEN_SQL, CREATE_THIRD_SQL))

        applied = await upgrade_schema(connections, append_migration(CREATE_FIRST_SQL, "SELECT 1", CREATE_THIRD_SQL))

        assert applied in (2, 3)
        assert await find_tables(connections, "first", "third") == {"first", "third"}
        await check_schema(connections, append_migration(CREATE_FIRST_SQL, "SELECT 1", CREATE_THIRD_SQL))


async def test_a_start_after_a_kill_between_a_step_and_its_record_goes_on(empty_mariadb_url: str) -> None:
    async with open_connections(empty_mariadb_url) as connections:
        await upgrade_schema(connections)
        await forget_steps_after_kill(connections, killed_step=2)

        assert await upgrade_schema(connections) == len(TABLES) - 2
        await check_schema(connections)


async def forget_steps_after_kill(connections: Connections, *, killed_step: int) -> None:
    """Leave what a start leaves that was killed after it made a table, and before it recorded that."""

    async def forget(session: DatabaseSession) -> None:
        for table in TABLES[killed_step + 1 :]:
            await session.execute(f"DROP TABLE {table}")
        await session.execute("DELETE FROM flowlet_schema_version WHERE step > :step", {"step": killed_step})
        await session.execute(
            "UPDATE flowlet_schema_version SET applied = NULL WHERE step = :step", {"step": killed_step}
        )

    await connections.write(forget)


async def test_a_migration_that_a_newer_flowlet_only_began_does_not_keep_this_one_from_starting(
    empty_mariadb_url: str,
) -> None:
    async with open_connections(empty_mariadb_url) as connections:
        with pytest.raises(Exception, match="(?i)duplicate column"):
            await upgrade_schema(connections, append_migration(BROKEN_SQL))

        await check_schema(connections)


async def test_tables_made_by_a_newer_flowlet_are_refused(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections, append_migration(CREATE_FIRST_SQL))

        for look in (upgrade_schema, check_schema):
            with pytest.raises(SchemaError, match="a newer Flowlet made them"):
                await look(connections)


async def test_a_database_without_tables_is_refused_with_the_cure(empty_database_url: str) -> None:
    with pytest.raises(SchemaError, match="no Flowlet tables. Run: flowlet db upgrade"):
        async with open_store(empty_database_url, migrate=False):
            pass


async def test_unfinished_tables_are_refused_with_the_cure(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections)

        with pytest.raises(SchemaError, match="the tables lack 2 steps of this Flowlet's schema. Run: flowlet db"):
            await check_schema(connections, append_migration(CREATE_FIRST_SQL, CREATE_THIRD_SQL))


async def test_a_lock_is_let_go_when_a_migration_breaks_off(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as breaking, open_connections(empty_database_url) as waiting:
        with pytest.raises(Exception, match="(?i)duplicate column|specified more than once"):
            await upgrade_schema(breaking, append_migration(BROKEN_SQL))

        async with asyncio.timeout(10):
            await upgrade_schema(waiting)
