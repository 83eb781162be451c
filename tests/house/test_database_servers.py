"""The tests' own database servers: what a durable one keeps over a kill, and what a shared database does not keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import asyncpg
import pymysql
import pytest

from flowlet.store.connection import Connections
from flowlet.store.opening import load_dialect, open_store
from tests.database_servers import DatabaseServer

INSERT = (
    "INSERT INTO flowlet_session (token_hash, user_id, created, last_seen, expires, user_agent) "
    "VALUES ('a', 1, 1, 1, 1, 'Lynx')"
)


@pytest.fixture(params=["durable_postgres_server", "durable_mariadb_server"])
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(database_server: DatabaseServer) -> Iterator[str]:
    made = database_server.create_database()
    yield made
    database_server.drop_database(made)


@pytest.mark.parametrize("end", [DatabaseServer.stop_server, DatabaseServer.kill_server], ids=["stop", "kill"])
def test_a_server_keeps_its_port_and_what_was_committed_over_a_restart(
    database_server: DatabaseServer, url: str, end: Callable[[DatabaseServer], None]
) -> None:
    database_server.program.execute_statement(url, "CREATE TABLE kept (id integer PRIMARY KEY)")

    end(database_server)
    database_server.start_server()

    database_server.program.execute_statement(url, "INSERT INTO kept VALUES (1)")


async def test_a_database_can_be_made_while_an_event_loop_runs(database_server: DatabaseServer) -> None:
    url = database_server.create_database()

    database_server.drop_database(url)

    with pytest.raises((asyncpg.PostgresError, pymysql.MySQLError)):
        database_server.program.execute_statement(url, "SELECT 1")


@pytest.fixture(params=["postgres_server", "mariadb_server"])
def shared(request: pytest.FixtureRequest) -> DatabaseServer:
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found


async def test_a_migrated_database_has_no_rows_of_the_test_before_and_restarts_its_ids(shared: DatabaseServer) -> None:
    url = shared.get_migrated_database()
    shared.program.execute_statement(url, INSERT)

    again = shared.get_migrated_database()

    shared.program.execute_statement(again, INSERT)
    async with open_store(again, migrate=False) as store:
        assert again == url
        ids = await store.connections.read(lambda session: session.fetch_rows("SELECT id FROM flowlet_session"))
        assert ids == [(1,)]


async def test_a_transaction_that_a_test_leaves_open_is_ended(shared: DatabaseServer) -> None:
    url = shared.get_migrated_database()
    shared.program.execute_statement(url, INSERT)
    connections = Connections(url, load_dialect(url))
    await connections.open()
    transaction = connections.transaction()
    session = await transaction.__aenter__()
    await session.execute("UPDATE flowlet_session SET user_id = 2")

    again = shared.get_migrated_database()

    with pytest.raises(Exception, match="(?i)closed|lost|terminat|not connected|away"):
        await transaction.__aexit__(None, None, None)
    await connections.close()
    async with open_store(again, migrate=False) as store:
        assert again == url
        assert await store.connections.read(lambda session: session.fetch_rows("SELECT id FROM flowlet_session")) == []


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE left_behind (id integer)",
        "DROP TABLE flowlet_schema_version",
        "ALTER TABLE flowlet_workflow DROP COLUMN vars",
        "CREATE INDEX left_behind ON flowlet_workflow (created)",
        "DELETE FROM flowlet_schema_version WHERE step = 0",
        "DROP DATABASE",
    ],
)
def test_a_database_whose_tables_a_test_has_changed_is_replaced(shared: DatabaseServer, change: str) -> None:
    url = shared.get_migrated_database()
    if change == "DROP DATABASE":
        shared.drop_database(url)
    else:
        shared.program.execute_statement(url, change)

    assert shared.get_migrated_database() != url


def test_statistics_for_the_planner_are_not_kept(postgres_server: DatabaseServer) -> None:
    url = postgres_server.get_migrated_database()
    postgres_server.program.execute_statement(url, f"{INSERT}; ANALYZE")

    assert postgres_server.get_migrated_database() != url


def test_a_server_that_lost_its_commits_makes_its_shared_database_anew(shared: DatabaseServer) -> None:
    url = shared.get_migrated_database()

    shared.kill_server()

    assert shared.get_migrated_database() != url
