"""What every test may ask for: an empty database on each of the three systems, and servers behind and beside them.

A server is started when the first test asks for it, and ends with the session. Under pytest-xdist each worker has
its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import hypothesis
import pytest

from tests.database_programs import MARIADB, POSTGRES, DatabaseProgram
from tests.database_servers import DatabaseServer

# No deadline: how long an example takes is the machine's affair. Under CI the same examples are drawn each time.
hypothesis.settings.register_profile("flowlet", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("flowlet")

URL_FIXTURES = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "mariadb": "mariadb_url"}


@pytest.fixture(params=URL_FIXTURES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database; a test that takes it runs on each of the three systems."""
    url: str = request.getfixturevalue(URL_FIXTURES[request.param])
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'flowlet.db'}"


@pytest.fixture
def postgres_url(postgres_server: DatabaseServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped after the test."""
    yield from _create_database(postgres_server)


@pytest.fixture
def mariadb_url(mariadb_server: DatabaseServer) -> Iterator[str]:
    """The URL of an empty MariaDB database, dropped after the test."""
    yield from _create_database(mariadb_server)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[DatabaseServer]:
    """A PostgreSQL server. A test that stops or kills it may leave it so."""
    yield from _start_server(POSTGRES)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[DatabaseServer]:
    """A MariaDB server. A test that stops or kills it may leave it so."""
    yield from _start_server(MARIADB)


@pytest.fixture
def address_service() -> Iterator[str]:
    """The URL of a service that tells an address, instead of the demo's own on the internet."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _AddressHandler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/ip"
        server.shutdown()
        thread.join()


class _AddressHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"192.0.2.1\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def _start_server(program: DatabaseProgram) -> Iterator[DatabaseServer]:
    server = DatabaseServer.of(program)
    yield server
    server.close_server()


def _create_database(server: DatabaseServer) -> Iterator[str]:
    url = server.create_database()
    yield url
    server.drop_database(url)
