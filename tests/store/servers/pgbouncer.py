"""PgBouncer before a PostgreSQL server of the tests, as a server of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.database_programs import find_executable
from tests.database_servers import DatabaseServer
from tests.postgres_program import PostgresProgram

__all__ = ["open_pooler"]

POOL_SIZE = 100


class PgbouncerProgram(PostgresProgram):
    """PgBouncer, which gives every database of a server."""

    name = "PgBouncer"
    url_variable = "FLOWLET_TEST_PGBOUNCER_URL"
    package = "pgbouncer"
    ready_line = "process up"
    stop_signal = signal.SIGTERM

    def __init__(self, server_url: str, pool_mode: str) -> None:
        self._server = urlsplit(server_url)
        self._pool_mode = pool_mode

    def is_installed(self) -> bool:
        return bool(find_executable("pgbouncer", Path("/usr/sbin")))

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return a command without effect: there is no data folder."""
        (folder / "users.txt").write_text(f'"{self._server.username}" "{self._server.password or ""}"\n')
        return ["true"]

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": folder / "users.txt",
            "pool_mode": self._pool_mode,
            "default_pool_size": POOL_SIZE,
        }
        place = f"host={self._server.hostname} port={self._server.port}"
        lines = [
            "[databases]",
            f"* = {place}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        (folder / "pgbouncer.ini").write_text("\n".join(lines))
        return [find_executable("pgbouncer", Path("/usr/sbin")), str(folder / "pgbouncer.ini")]


@contextmanager
def open_pooler(server: DatabaseServer, pool_mode: str) -> Iterator[DatabaseServer]:
    """Start a pooler before a server."""
    pooler = DatabaseServer.of(PgbouncerProgram(server.build_url("postgres"), pool_mode))
    try:
        yield pooler
    finally:
        pooler.close_server()
