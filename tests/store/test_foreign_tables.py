"""Tables of Flowlet's names that another program made: refused by name, and never changed."""

from __future__ import annotations

import re

import pytest

from flowlet.errors import SchemaError
from flowlet.store.connection import Connections
from flowlet.store.migrations import check_schema, upgrade_schema
from flowlet.store.migrations.inspection import inspect_schema
from flowlet.store.migrations.steps import MIGRATIONS
from flowlet.store.tables import SCHEMA_VERSION, SESSION, TABLES
from tests.store.test_migrations import open_connections

NAMES = [table.name for table in (SCHEMA_VERSION, *TABLES)]


async def execute(connections: Connections, *statements: str) -> None:
    for statement in statements:
        await connections.write(lambda session, sql=statement: session.execute(sql))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def read_columns(connections: Connections) -> dict[str, frozenset[str]]:
    return await connections.read(lambda session: session.dialect.schema.read_columns(session.raw, NAMES))


async def assert_refused_and_unchanged(connections: Connections, message: str) -> None:
    before = await read_columns(connections)

    for look in (upgrade_schema, check_schema):
        with pytest.raises(SchemaError, match=message):
            await look(connections)

    assert await read_columns(connections) == before


@pytest.mark.parametrize("name", ["flowlet_workflow", "flowlet_user"])
async def test_a_table_without_a_version_table_is_refused(empty_database_url: str, name: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await execute(connections, f"CREATE TABLE {name} (id integer, text varchar(10))")

        await assert_refused_and_unchanged(
            connections, f"Flowlet did not make, .* list them: {name}. Nothing was changed"
        )


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("CREATE VIEW flowlet_executor AS SELECT 1 AS id", "list them: flowlet_executor. Nothing was changed"),
        (
            "CREATE TABLE flowlet_schema_version (version integer)",
            "a table flowlet_schema_version with other columns",
        ),
    ],
)
async def test_a_view_and_a_version_table_with_other_columns_are_refused(
    empty_database_url: str, statement: str, fault: str
) -> None:
    async with open_connections(empty_database_url) as connections:
        await execute(connections, statement)

        await assert_refused_and_unchanged(connections, fault)


@pytest.mark.parametrize(
    ("fixture", "statements", "name"),
    [
        ("sqlite", ["CREATE TABLE box (a integer)", "CREATE INDEX flowlet_workflow_due ON box (a)"], "workflow_due"),
        ("postgres", ["CREATE TABLE box (a integer)", "CREATE INDEX flowlet_workflow_due ON box (a)"], "workflow_due"),
        ("postgres", ["CREATE SEQUENCE flowlet_action_workflow"], "action_workflow"),
        ("postgres", ["CREATE TYPE flowlet_user AS ENUM ('a')"], "user"),
        ("postgres", ["CREATE DOMAIN flowlet_session AS integer"], "session"),
    ],
)
async def test_what_is_no_table_and_has_a_name_that_is_needed_is_refused(
    request: pytest.FixtureRequest, fixture: str, statements: list[str], name: str
) -> None:
    async with open_connections(request.getfixturevalue(f"empty_{fixture}_url")) as connections:
        await execute(connections, *statements)

        await assert_refused_and_unchanged(connections, f"indexes or types .* it needs: flowlet_{name}. Nothing was")


@pytest.mark.parametrize("kind", ["MATERIALIZED VIEW {} AS SELECT 1 AS id", "SEQUENCE {}", "TABLE {} ()"])
async def test_other_kinds_of_relations_are_refused(empty_postgres_url: str, kind: str) -> None:
    async with open_connections(empty_postgres_url) as connections:
        await execute(connections, "CREATE " + kind.format("flowlet_workflow"))

        await assert_refused_and_unchanged(connections, "list them: flowlet_workflow. Nothing was changed")


async def test_the_tables_of_a_flowlet_whose_record_is_lost_are_refused(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections)
        await execute(connections, "DELETE FROM flowlet_schema_version")

        await assert_refused_and_unchanged(connections, f"list them: {re.escape(', '.join(NAMES[1:]))}. Nothing")


async def test_a_table_that_the_record_does_not_list_yet_is_refused(empty_mariadb_url: str) -> None:
    async with open_connections(empty_mariadb_url) as connections:
        await upgrade_schema(connections)
        place = TABLES.index(SESSION)
        await execute(
            connections,
            f"DELETE FROM {SCHEMA_VERSION} WHERE step >= {place}",  # the step after the last one may have been applied
            *(f"DROP TABLE {table}" for table in TABLES[place:]),
            f"CREATE TABLE {SESSION} (sid varchar(10))",
        )

        await assert_refused_and_unchanged(connections, "list them: flowlet_session. Nothing was changed")


async def test_other_tables_with_the_prefix_are_no_concern(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await execute(connections, "CREATE TABLE flowlet_workflow_backup (id integer)")

        assert await upgrade_schema(connections) > 0
        await check_schema(connections)


async def test_tables_that_were_changed_or_dropped_are_refused(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections)
        await execute(
            connections,
            "DROP TABLE flowlet_action",
            "ALTER TABLE flowlet_definition DROP COLUMN created",
        )

        await assert_refused_and_unchanged(connections, "flowlet_action is missing; flowlet_definition lacks created")


async def test_tables_that_are_up_to_date_have_no_missing_steps(empty_database_url: str) -> None:
    async with open_connections(empty_database_url) as connections:
        await upgrade_schema(connections)

        state = await connections.read(lambda session: inspect_schema(session, MIGRATIONS))

    assert (state.has_version_table, state.begun, list(state.missing)) == (True, frozenset(), [])
