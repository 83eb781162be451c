"""Tables in a schema of their own, beside another Flowlet's: neither wakes, blocks or sees the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from flowlet.errors import SettingsError
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.postgres.qualifier import SchemaQualifier
from flowlet.store.migrations import upgrade_schema
from flowlet.store.opening import Store, open_store
from tests.database_servers import DatabaseServer
from tests.databases import SCHEMA
from tests.store.store_harness import NOW, StoreHarness
from tests.store.test_commit_signal import CommitListener
from tests.store.test_migrations import open_connections

FIND_TABLES = """
SELECT nspname, count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relname LIKE :prefix GROUP BY 1
"""


@asynccontextmanager
async def hold_migration_lock(connections: Connections) -> AsyncIterator[None]:
    """Hold the lock of migrations for the length of the block."""
    is_held, may_end = asyncio.Event(), asyncio.Event()

    async def hold(session: DatabaseSession) -> None:
        await session.dialect.schema.lock_migrations(session.raw)
        is_held.set()
        await may_end.wait()
        await session.dialect.schema.unlock_migrations(session.raw)

    holding = asyncio.create_task(connections.write(hold))
    await is_held.wait()
    yield
    may_end.set()
    await holding


async def create_instance(store: Store) -> None:
    await store.instances.create([StoreHarness(store).build_new_instance()], now=NOW)


async def test_everything_is_made_in_the_schema_which_is_made_first(empty_postgres_url: str) -> None:
    async with open_store(empty_postgres_url, schema=SCHEMA) as store:
        found = await store.connections.read(lambda session: session.fetch_rows(FIND_TABLES, {"prefix": "flowlet%"}))

    assert [schema for schema, _ in found] == [SCHEMA]


@pytest.mark.parametrize("other", [None, SCHEMA.lower()])
async def test_two_schemas_of_one_database_have_their_own_rows_and_do_not_wake_each_other(
    empty_postgres_url: str, other: str | None
) -> None:
    async with (
        open_store(empty_postgres_url, schema=SCHEMA) as here,
        open_store(empty_postgres_url, schema=SCHEMA) as same,
        open_store(empty_postgres_url, schema=other) as there,
    ):
        listeners = same_listener, there_listener = CommitListener(same), CommitListener(there)
        for listener, store in zip(listeners, (same, there), strict=True):
            await listener.wait_until(lambda store=store: store.commit_signal.is_listening)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            listener.commits.clear()

        await create_instance(here)
        await same_listener.wait_until(lambda: bool(same_listener.commits))
        heard_there = list(there_listener.commits)
        await create_instance(there)

        assert heard_there == []
        assert [(await store.queries.get(1)).id for store in (here, same, there)] == [1, 1, 1]


async def test_a_migration_does_not_wait_for_the_one_of_another_schema(empty_postgres_url: str) -> None:
    async with (
        open_connections(empty_postgres_url, schema="first") as first,
        open_connections(empty_postgres_url, schema="second") as second,
        hold_migration_lock(first),
        asyncio.timeout(20),
    ):
        assert await upgrade_schema(second) > 0


async def test_a_migration_does_not_wait_for_the_one_of_another_database(mariadb_server: DatabaseServer) -> None:
    name = "f" * 63  # names may have 64 characters, and those of locks too
    urls = [mariadb_server.build_url(name + end) for end in "aA"]
    for url in urls:
        mariadb_server.program.execute_statement(
            mariadb_server.build_url("mysql"), f"CREATE DATABASE {urlsplit(url).path[1:]} CHARACTER SET utf8mb4"
        )

    try:
        async with (
            open_connections(urls[0]) as first,
            open_connections(urls[1]) as second,
            hold_migration_lock(first),
            asyncio.timeout(20),
        ):
            assert await upgrade_schema(second) > 0
    finally:
        for url in urls:
            mariadb_server.drop_database(url)


async def test_a_schema_is_refused_where_there_is_none(sqlite_url: str, mariadb_url: str) -> None:
    for url in (sqlite_url, mariadb_url):
        with pytest.raises(SettingsError, match="FLOWLET_SCHEMA is 'shop': only PostgreSQL has schemas"):
            async with open_store(url, schema="shop"):
                pass


UNUSABLE_NAMES: list[str] = ["", "pg_shop", "information_schema", 'a"b', "a'b", "a:b", "a\\b", " a", "ä" * 32]


async def test_a_name_that_is_none_is_refused(postgres_url: str, subtests: pytest.Subtests) -> None:
    for schema in UNUSABLE_NAMES:
        with subtests.test(repr(schema)), pytest.raises(SettingsError, match="the schema is "):
            async with open_store(postgres_url, schema=schema):
                pass


@pytest.mark.parametrize("schema", ["select", "Ähre €", "1.2", "$1", "flowlet_workflow", "ä" * 31])
async def test_an_odd_name_is_used_as_it_is_written(empty_postgres_url: str, schema: str) -> None:
    async with open_store(empty_postgres_url, schema=schema) as store:
        await create_instance(store)
        prefix = {"prefix": "flowlet_work%"}
        found = await store.connections.read(lambda session: session.fetch_rows(FIND_TABLES, prefix))

        assert [name for name, _ in found] == [schema]


def test_names_of_tables_are_qualified_and_no_others() -> None:
    qualify = SchemaQualifier("shop").qualify_sql

    assert qualify("SELECT flowlet_action.id FROM flowlet_action, flowlet_actions, my_flowlet_action") == (
        'SELECT "shop".flowlet_action.id FROM "shop".flowlet_action, flowlet_actions, my_flowlet_action'
    )
    assert qualify(qualify("FROM flowlet_user")) == 'FROM "shop".flowlet_user'


async def test_every_statement_of_the_driver_is_qualified_or_refused(schema_postgres_url: str) -> None:
    async with open_store(schema_postgres_url, schema=SCHEMA) as store:

        async def run(session: DatabaseSession) -> list[Any]:
            count = "SELECT count(*) FROM flowlet_user"
            raw: Any = session.raw
            await raw.execute(count)
            await raw.executemany("DELETE FROM flowlet_user WHERE id = $1", [(1,)])
            with pytest.raises(NotImplementedError, match="does not name the schema"):
                await raw.prepare(count)
            return [await raw.fetchval(count), *(await raw.fetchrow(count)), *(await raw.fetch(count))[0]]

        assert await store.connections.write(run) == [0, 0, 0]
