"""What every test may ask for: a database on each of the three systems, and servers behind and beside them.

A server is started when the first test asks for it, and ends with the session. Under pytest-xdist each worker has
its own, with one migrated database that is emptied before each test.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from zlib import crc32

import hypothesis
import pytest

from tests.database_programs import DatabaseProgram
from tests.database_servers import DatabaseServer
from tests.databases import SCHEMA, build_writer_url, migrate_database
from tests.mariadb_program import MARIADB
from tests.postgres_program import POSTGRES

# No deadline: how long an example takes is the machine's affair. Under CI the same examples are drawn each time.
hypothesis.settings.register_profile("flowlet", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("flowlet")

URL_FIXTURES = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "mariadb": "mariadb_url"}
LONG_TIMEOUT_SECONDS = 150
GARBAGE_THRESHOLDS = (5_000, 20, 20)
EMPTY_URL_FIXTURES = {name: f"empty_{fixture}" for name, fixture in URL_FIXTURES.items()}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the modules with the longest tests begin: at the end they would keep one worker busy, and the others idle.

    The other modules follow in an order that mixes the folders: tests that wait would run at the same time in all
    workers, and leave the processors idle. The order is the same in each run.

    Tests that only root may run are left out for others. They are not skipped: nothing is missing.
    """
    if os.geteuid() and (left_out := [item for item in items if item.get_closest_marker("needs_root")]):
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    marks = ((item.path, item.get_closest_marker("timeout")) for item in items)
    long = {path for path, mark in marks if mark and mark.args[0] >= LONG_TIMEOUT_SECONDS}
    items.sort(key=lambda item: (item.path not in long, crc32(item.path.name.encode()), item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a skipped test fail under CI: what it needs is missing, and a green run would hide it."""
    report = yield
    if report.skipped and "CI" in os.environ and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"skipped, although CI is set: {report.longrepr}"
    return report


def pytest_collection_finish() -> None:
    """Keep what was collected out of every later search for garbage, of which pytest makes five at its end.

    The others are made more rarely, as in a process that serves: a twentieth of the processor time went into them.
    """
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    atexit.register(gc.unfreeze)  # extension modules report what is left of them


@pytest.fixture(autouse=True)
def _restore_log_level() -> Iterator[None]:
    """Set back what a command that runs inside of a test has set: later tests read warnings."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _forget_written_modules(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,  # it sets sys.path back later: the folders of packages follow it
) -> Iterator[None]:
    """Forget the modules that a test has written and imported: later tests write others of these names."""
    known = set(sys.modules)
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - known:
        module = sys.modules[name]
        # A package without an __init__.py has folders, and no file.
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
        if any(str(place).startswith(folder) for place in places):
            del sys.modules[name]


@pytest.fixture(params=URL_FIXTURES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database without rows; a test that takes it runs on each of the three systems."""
    url: str = request.getfixturevalue(URL_FIXTURES[request.param])
    return url


@pytest.fixture(params=EMPTY_URL_FIXTURES)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables, of the test's own; a test that takes it runs on all three systems."""
    url: str = request.getfixturevalue(EMPTY_URL_FIXTURES[request.param])
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_file: Path) -> str:
    """The URL of a migrated SQLite file without rows."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'flowlet.db')}"


@pytest.fixture
def postgres_url(postgres_server: DatabaseServer) -> str:
    """The URL of a migrated PostgreSQL database without rows, which the worker's tests use one after the other."""
    return postgres_server.get_migrated_database()


@pytest.fixture
def schema_postgres_url(postgres_server: DatabaseServer) -> str:
    """The URL of a database with its tables in a schema of their own, for a role that may create nothing.

    Open it with ``open_store(url, schema=find_schema(url))``.
    """
    return build_writer_url(postgres_server.get_migrated_database(schema=SCHEMA))


@pytest.fixture
def mariadb_url(mariadb_server: DatabaseServer) -> str:
    """The URL of a migrated MariaDB database without rows, which the worker's tests use one after the other."""
    return mariadb_server.get_migrated_database()


@pytest.fixture
def durable_postgres_url(durable_postgres_server: DatabaseServer) -> str:
    """The URL of a migrated database without rows on the durable PostgreSQL server."""
    return durable_postgres_server.get_migrated_database()


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'flowlet.db'}"


@pytest.fixture
def empty_postgres_url(postgres_server: DatabaseServer) -> Iterator[str]:
    """The URL of a PostgreSQL database without tables, dropped after the test."""
    yield from _create_database(postgres_server)


@pytest.fixture
def empty_mariadb_url(mariadb_server: DatabaseServer) -> Iterator[str]:
    """The URL of a MariaDB database without tables, dropped after the test."""
    yield from _create_database(mariadb_server)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "flowlet.db"
    migrate_database(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[DatabaseServer]:
    """A PostgreSQL server that never waits for the disk. A test that stops it may leave it so."""
    yield from _start_server(POSTGRES)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[DatabaseServer]:
    """A MariaDB server that never waits for the disk. A test that stops it may leave it so."""
    yield from _start_server(MARIADB)


@pytest.fixture(scope="session")
def durable_postgres_server() -> Iterator[DatabaseServer]:
    """A PostgreSQL server that loses nothing. A test that stops or kills it may leave it so."""
    yield from _start_server(POSTGRES, is_durable=True)


@pytest.fixture(scope="session")
def durable_mariadb_server() -> Iterator[DatabaseServer]:
    """A MariaDB server that loses nothing. A test that stops or kills it may leave it so."""
    yield from _start_server(MARIADB, is_durable=True)


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


def _start_server(program: DatabaseProgram, *, is_durable: bool = False) -> Iterator[DatabaseServer]:
    server = DatabaseServer.of(program, is_durable=is_durable)
    yield server
    server.close_server()


def _create_database(server: DatabaseServer) -> Iterator[str]:
    url = server.create_database()
    yield url
    server.drop_database(url)
