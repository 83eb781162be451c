"""The connection that listens to PostgreSQL proves itself: one that a firewall has silenced is found and replaced."""

from __future__ import annotations

import asyncio
import logging

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.store.dialects.mysql.signals import _read_end
from flowlet.store.dialects.postgres import listen
from flowlet.store.opening import open_store
from tests.database_servers import DatabaseServer
from tests.engine.lease_settings import ORDERS_MODULE
from tests.engine.manual_executor import open_engine
from tests.store.servers.silent_proxy import open_proxy

SHORT_SECONDS = 0.1
MAX_SECONDS = 15
"""Within so many seconds a silent connection is found."""


@pytest.fixture
def short_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the connection prove itself more often."""
    monkeypatch.setattr(listen, "HEARTBEAT_SECONDS", SHORT_SECONDS)


def test_a_silent_connection_is_found_within_fifteen_seconds() -> None:
    assert listen.HEARTBEAT_SECONDS + listen.ANSWER_SECONDS < MAX_SECONDS


@pytest.mark.usefixtures("short_heartbeat")
async def test_a_silent_connection_is_replaced_and_what_it_missed_is_looked_for(
    postgres_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "ANSWER_SECONDS", 1.0)
    calls: asyncio.Queue[object] = asyncio.Queue()
    async with open_proxy(postgres_url) as (proxy, way), open_store(way) as store:
        store.commit_signal.subscribe(calls.put_nowait)
        await calls.get()

        proxy.silence_connections()

        async with asyncio.timeout(MAX_SECONDS):
            await calls.get()
        await proxy.close_connections()  # the pools' connections are as silent: they end at once
    (record,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert record.getMessage() == "cannot listen for commits: the server has not answered for 1 seconds"


@pytest.mark.usefixtures("short_heartbeat")
async def test_a_connection_that_answers_is_kept(postgres_url: str) -> None:
    pids: set[int] = set()
    calls: asyncio.Queue[object] = asyncio.Queue()
    beats = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'SHOW transaction_read_only%'"
    async with open_store(postgres_url) as store:
        store.commit_signal.subscribe(calls.put_nowait)
        await calls.get()
        async with asyncio.timeout(MAX_SECONDS):
            while not pids:
                ((count,),) = await store.connections.read(lambda session: session.fetch_rows(beats))
                pids |= {count} - {0}

        assert calls.empty()
        assert store.commit_signal.is_listening


@pytest.mark.usefixtures("short_heartbeat")
async def test_a_server_that_takes_no_writes_any_more_is_left(
    postgres_server: DatabaseServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute = postgres_server.program.execute_statement
    calls: asyncio.Queue[object] = asyncio.Queue()
    pid = "SELECT pg_backend_pid()"
    async with open_store(postgres_url) as store:
        before = await store.connections.read(lambda session: session.fetch_rows(pid))
        store.commit_signal.subscribe(calls.put_nowait)
        await calls.get()

        execute(postgres_url, "ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            execute(postgres_url, "SELECT pg_reload_conf()")
            async with asyncio.timeout(MAX_SECONDS):
                await calls.get()  # of another connection: what was committed before it was there
        finally:
            execute(postgres_url, "ALTER SYSTEM RESET default_transaction_read_only")
            execute(postgres_url, "SELECT pg_reload_conf()")

        assert await store.connections.read(lambda session: session.fetch_rows(pid)) != before
    assert "cannot listen for commits: the server is read-only" in caplog.text


async def test_a_poll_of_a_server_that_takes_no_writes_any_more_fails(
    mariadb_server: DatabaseServer, mariadb_url: str
) -> None:
    execute = mariadb_server.program.execute_statement
    async with open_engine(mariadb_url, ORDERS_MODULE) as engine:
        await engine.create_instance()
        end = await engine.store.connections.read(lambda session: _read_end(0, (), session.raw))
        assert end == (1, 1, (1, 1, None, None), 1)

        execute(mariadb_url, "SET GLOBAL read_only = 1")
        try:
            with pytest.raises(StoreUnavailableError, match="read-only"):
                await engine.store.connections.read(lambda session: _read_end(0, (), session.raw))
        finally:
            execute(mariadb_url, "SET GLOBAL read_only = 0")
