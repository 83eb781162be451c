"""TLS with a private certificate authority, and passwords beyond ASCII, on real servers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.store.opening import open_store
from tests.certificates import CLIENT_NAME, write_certificates
from tests.database_servers import DatabaseServer
from tests.mariadb_program import TLS_FILES

PASSWORD = "pä§w 🙂@:/?#"
MARIADB_TLS_SQL = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"
POSTGRES_TLS_SQL = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


async def read_row(url: str, sql: str) -> tuple[Any, ...]:
    async with open_store(url, migrate=False) as store:
        (row,) = await store.connections.read(lambda session: session.fetch_rows(sql))
        return row


@pytest.fixture(scope="module")
def tls_server(postgres_server: DatabaseServer) -> Iterator[DatabaseServer]:
    """The PostgreSQL server, which offers TLS within this module."""
    folder = postgres_server.folder
    write_certificates(folder)
    for file in folder.glob("server.*"):
        shutil.chown(file, folder.owner())
        file.chmod(0o600)
    files = {f"ssl_{name}_file": str(folder / file) for name, file in TLS_FILES.items()}
    for name, value in {"ssl": "on", **files}.items():
        execute_on_postgres(postgres_server, f"ALTER SYSTEM SET {name} = '{value}'")
    execute_on_postgres(postgres_server, "SELECT pg_reload_conf()")
    yield postgres_server
    execute_on_postgres(postgres_server, "ALTER SYSTEM RESET ALL")
    execute_on_postgres(postgres_server, "SELECT pg_reload_conf()")


def execute_on_postgres(server: DatabaseServer, statement: str) -> None:
    server.program.execute_statement(server.build_url("postgres"), statement)


@contextmanager
def create_mariadb_user(server: DatabaseServer, url: str, requirement: str) -> Iterator[str]:
    """Give the URL with another user."""
    user = "'anna'@'127.0.0.1'"
    execute = server.program.execute_statement
    execute(url, f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}' {requirement}")
    execute(url, f"GRANT ALL ON *.* TO {user}")
    try:
        yield url.replace("flowlet:flowlet@", f"anna:{quote(PASSWORD, safe='')}@")
    finally:
        execute(url, f"DROP USER {user}")


async def test_a_private_authority_vouches_for_mariadb(mariadb_server: DatabaseServer, mariadb_url: str) -> None:
    _, cipher = await read_row(f"{mariadb_url}?ssl-ca={mariadb_server.folder / 'ca.pem'}", MARIADB_TLS_SQL)

    assert cipher


async def test_a_client_of_mariadb_proves_itself_by_a_certificate(
    mariadb_server: DatabaseServer, mariadb_url: str
) -> None:
    folder = mariadb_server.folder
    with create_mariadb_user(mariadb_server, mariadb_url, "REQUIRE X509") as url:
        options = f"ssl-ca={folder / 'ca.pem'}&ssl-cert={folder / 'client.pem'}&ssl-key={folder / 'client.key'}"

        _, cipher = await read_row(f"{url}?{options}", MARIADB_TLS_SQL)

    assert cipher


async def test_a_certificate_error_of_mariadb_is_shown(mariadb_url: str) -> None:
    with pytest.raises(StoreUnavailableError, match=r"certificate verify failed"):
        await read_row(f"{mariadb_url}?ssl=true", MARIADB_TLS_SQL)


async def test_a_password_of_mariadb_may_have_any_character(mariadb_server: DatabaseServer, mariadb_url: str) -> None:
    with create_mariadb_user(mariadb_server, mariadb_url, "") as url:
        assert await read_row(url, "SELECT CURRENT_USER()") == ("anna@127.0.0.1",)


async def test_a_private_authority_vouches_for_postgres(tls_server: DatabaseServer, postgres_url: str) -> None:
    url = f"{postgres_url}?sslrootcert={tls_server.folder / 'ca.pem'}"

    assert await read_row(url, POSTGRES_TLS_SQL) == (True, None)


async def test_a_client_of_postgres_proves_itself_by_a_certificate(
    tls_server: DatabaseServer, postgres_url: str
) -> None:
    folder = tls_server.folder
    files = f"sslrootcert={folder / 'ca.pem'}&sslcert={folder / 'client.pem'}&sslkey={folder / 'client.key'}"

    assert await read_row(f"{postgres_url}?{files}", POSTGRES_TLS_SQL) == (True, f"/CN={CLIENT_NAME}")


async def test_postgres_is_refused_if_another_authority_has_signed(
    tls_server: DatabaseServer, postgres_url: str, tmp_path: Path
) -> None:
    write_certificates(tmp_path)

    with pytest.raises(StoreUnavailableError, match=r"certificate verify failed"):
        await read_row(f"{postgres_url}?sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}", POSTGRES_TLS_SQL)


@pytest.mark.parametrize(
    ("fixture", "option"), [("postgres_url", "sslrootcert"), ("mariadb_url", "ssl-ca"), ("mariadb_url", "ssl-cert")]
)
async def test_a_file_that_is_missing_is_named(request: pytest.FixtureRequest, fixture: str, option: str) -> None:
    url = f"{request.getfixturevalue(fixture)}?{option}=/nowhere/ca.pem"

    with pytest.raises(StoreUnavailableError, match=re.escape(f"the option '{option}' names '/nowhere/ca.pem', but")):
        await read_row(url, "SELECT 1")
