"""A server that answers no more and does not hang up either is away, and soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.database_url import normalize_database_url
from flowlet.errors import StoreUnavailableError
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import load_dialect
from tests.store.servers.silent_proxy import SilentProxy, open_proxy

TIMEOUT_SECONDS = 0.3
MAX_TEST_SECONDS = 10
"""Far more than the patience, far less than the drivers'."""


@asynccontextmanager
async def open_proxied_connections(url: str) -> AsyncIterator[tuple[SilentProxy, Connections]]:
    async with open_proxy(normalize_database_url(url)) as (proxy, way):
        connections = Connections(way, load_dialect(way), timeout_seconds=TIMEOUT_SECONDS)
        await connections.open()
        try:
            yield proxy, connections
        finally:
            await proxy.close_connections()
            await connections.close()


def build_silencing_work(proxy: SilentProxy) -> Callable[[DatabaseSession], Awaitable[Any]]:
    """Return work at whose first call the server falls silent after the first statement."""
    is_first = True

    async def read_and_silence(session: DatabaseSession) -> Any:
        nonlocal is_first
        rows = await session.fetch_rows("SELECT 1")
        if is_first:
            is_first = False
            proxy.silence_connections()
            await session.fetch_rows("SELECT 2")
        return rows

    return read_and_silence


async def read_one(session: DatabaseSession) -> Any:
    return await session.fetch_rows("SELECT 1")


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
@pytest.mark.parametrize("how", ["read", "write", "run_on_engine"])
@pytest.mark.parametrize("is_within", [False, True], ids=["between calls", "within a call"])
async def test_a_silent_server_is_away_soon_and_the_next_call_finds_another_connection(
    request: pytest.FixtureRequest, fixture: str, how: str, is_within: bool
) -> None:
    async with open_proxied_connections(request.getfixturevalue(fixture)) as (proxy, connections):
        call = getattr(connections, how)
        await call(read_one)
        work = build_silencing_work(proxy) if is_within else read_one
        if not is_within:
            proxy.silence_connections()

        with pytest.raises(StoreUnavailableError):
            async with asyncio.timeout(MAX_TEST_SECONDS):
                await call(work)

        async with asyncio.timeout(MAX_TEST_SECONDS):
            assert await call(work) == [(1,)]


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
async def test_a_server_that_falls_silent_before_the_commit_is_away_soon(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    async def fall_silent_and_read(session: DatabaseSession) -> None:
        await read_one(session)
        proxy.silence_connections()

    async with open_proxied_connections(request.getfixturevalue(fixture)) as (proxy, connections):
        with pytest.raises(StoreUnavailableError):
            async with asyncio.timeout(MAX_TEST_SECONDS):
                await connections.write(fall_silent_and_read)

        async with asyncio.timeout(MAX_TEST_SECONDS):
            assert await connections.write(read_one) == [(1,)]
