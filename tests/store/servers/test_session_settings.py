"""Sessions of MariaDB do not depend on the server's defaults: the tests' server has a Latin-1 charset, a time zone with
daylight saving and another ``sql_mode``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from flowlet.database_url import normalize_database_url
from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import Status
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.mysql.connection import NOW_SQL
from flowlet.store.opening import load_dialect, open_store
from tests.database_servers import DatabaseServer
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import open_engine

SETTINGS_SQL = (
    "SELECT @@time_zone, @@sql_mode, @@character_set_client, @@character_set_connection, @@character_set_results, "
    "@@collation_connection, @@tx_isolation"
)
SETTINGS = (
    *("+00:00", "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION", "utf8mb4", "utf8mb4", "utf8mb4"),
    *("utf8mb4_bin", "READ-COMMITTED"),
)
HARD_TEXT = "Ω 日本 🙂 don't \\ \" ||"
AUTUMN_HOUR = 1_761_436_800
"""From here on it was 2 to 3 o'clock in Central Europe, and then the same again."""


@asynccontextmanager
async def open_connections(url: str, *, for_engine: bool = True) -> AsyncIterator[Connections]:
    usable = normalize_database_url(url)
    connections = Connections(usable, load_dialect(usable), for_engine=for_engine)
    await connections.open()
    try:
        yield connections
    finally:
        await connections.close()


async def read_settings(session: DatabaseSession) -> tuple[Any, ...]:
    ((*settings,),) = await session.fetch_rows(SETTINGS_SQL)
    return tuple(settings)


def test_the_server_of_the_tests_has_other_defaults(mariadb_server: DatabaseServer) -> None:
    url = mariadb_server.build_url("mysql")
    connection = pymysql.connect(**read_login(url), charset="latin1", ssl_disabled=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@character_set_server, @@time_zone, @@sql_mode, FROM_UNIXTIME(0)")
        ((charset, zone, mode, epoch),) = cursor.fetchall()

    assert (charset, zone, epoch.hour) == ("latin1", "SYSTEM", 1)
    assert "STRICT" not in mode


@pytest.mark.parametrize("how", ["read", "write", "run_on_engine"])
@pytest.mark.parametrize("for_engine", [True, False], ids=["executor", "heartbeat"])
async def test_every_session_has_the_same_settings(mariadb_url: str, how: str, for_engine: bool) -> None:
    async with open_connections(mariadb_url, for_engine=for_engine) as connections:
        call: Callable[[Callable[[DatabaseSession], Awaitable[Any]]], Awaitable[Any]] = getattr(connections, how)

        assert await call(read_settings) == SETTINGS


async def test_a_session_has_its_settings_again_after_a_handler_changed_them(mariadb_url: str) -> None:
    async with open_connections(mariadb_url) as connections:
        async with connections.transaction() as session:
            await session.execute("SET SESSION time_zone = '+05:00', sql_mode = '', character_set_client = latin1")

        assert await connections.read(read_settings) == SETTINGS


async def test_the_servers_time_does_not_repeat_the_hour_of_autumn(mariadb_url: str) -> None:
    async with open_connections(mariadb_url) as connections:
        seconds = [AUTUMN_HOUR + 1800 * place for place in range(6)]
        sql = "SELECT " + ", ".join(NOW_SQL.replace("SYSDATE(6)", f"FROM_UNIXTIME({one})") for one in seconds)

        ((*times,),) = await connections.read(lambda session: session.fetch_rows(sql))

    assert [time // 1_000_000 for time in times] == seconds


@pytest.mark.parametrize("statement", ["DO CAST('x' AS INTEGER)", "SELECT CAST('x' AS INTEGER)", "SELECT 1 + '1a'"])
async def test_what_the_server_warns_of_is_an_error(mariadb_url: str, statement: str) -> None:
    async with open_connections(mariadb_url) as connections:
        with pytest.raises(pymysql.err.DataError, match="the server warns: Truncated incorrect"):
            await connections.write(lambda session: session.execute(statement))


async def finish() -> str:
    return "done"


async def test_every_character_survives_a_create_and_a_commit(database_url: str) -> None:
    async with open_engine(database_url, build_workflow_module(**build_single_state(finish))) as engine:
        executor = await engine.add_executor()
        id = await engine.create_instance(external_id=HARD_TEXT, vars={"text": HARD_TEXT})
        transition = await executor.run_instance(await executor.claim_instance(id))
        texts: dict[str, Any] = {
            **dict.fromkeys(("state", "reason", "fingerprint"), HARD_TEXT),
            **dict.fromkeys(("vars_json", "answer_json"), f'{{"a":"{HARD_TEXT[:-5]}"}}'),
        }

        await executor.commit_transitions(replace(transition, status=Status.IN_PROGRESS, **texts))

        instance = await engine.get_instance(id)
        assert instance.external_id == HARD_TEXT
        assert {name: getattr(instance, name) for name in texts if hasattr(instance, name)} == texts


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
async def test_a_database_of_another_encoding_is_refused(postgres_server: DatabaseServer, encoding: str) -> None:
    statement = f"CREATE DATABASE other ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    postgres_server.program.execute_statement(postgres_server.build_url("postgres"), statement)
    url = postgres_server.build_url("other")
    try:
        message = rf"encoding is {encoding}.*CREATE DATABASE other ENCODING 'UTF8'"
        with pytest.raises(StoreUnavailableError, match=message):
            async with open_store(url):
                pass
    finally:
        postgres_server.drop_database(url)


def read_login(url: str) -> dict[str, Any]:
    server = load_dialect("mysql:").connections.build_options(url, for_engine=False)["server"]
    ((host, port),) = server.hosts
    return {"host": host, "port": port, "user": server.user, "password": server.password}


@pytest.mark.parametrize("how", ["read", "run_on_engine"])
async def test_a_session_of_postgres_has_its_settings_before_and_after_a_handler(postgres_url: str, how: str) -> None:
    sql = "SELECT current_setting('jit'), current_setting('default_transaction_isolation')"
    async with open_connections(postgres_url) as connections:
        call = getattr(connections, how)
        before = await call(lambda session: session.fetch_rows(sql))

        async with connections.transaction() as session:
            await session.execute("SET jit = on")
            await session.execute("SET default_transaction_isolation = 'serializable'")

        assert [before, await call(lambda session: session.fetch_rows(sql))] == [[("off", "read committed")]] * 2
