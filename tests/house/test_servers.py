"""The tests' own database servers can be stopped, killed and started again, and keep what was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import asyncpg
import pymysql
import pytest

from tests.servers import Server


@pytest.fixture(params=["postgres_server", "mariadb_server"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    made = server.create_database()
    yield made
    server.drop_database(made)


@pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["stop", "kill"])
def test_a_server_keeps_its_port_and_what_was_committed_over_a_restart(
    server: Server, url: str, end: Callable[[Server], None]
) -> None:
    server.program.execute(url, "CREATE TABLE kept (id integer PRIMARY KEY)")

    end(server)
    server.start()

    server.program.execute(url, "INSERT INTO kept VALUES (1)")


async def test_a_database_can_be_made_while_an_event_loop_runs(server: Server) -> None:
    url = server.create_database()

    server.drop_database(url)

    with pytest.raises((asyncpg.PostgresError, pymysql.MySQLError)):
        server.program.execute(url, "SELECT 1")
