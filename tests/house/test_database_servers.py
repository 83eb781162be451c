"""The tests' own database servers can be stopped, killed and started again, and keep what was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import asyncpg
import pymysql
import pytest

from tests.database_servers import DatabaseServer


@pytest.fixture(params=["postgres_server", "mariadb_server"])
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
