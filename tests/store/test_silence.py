"""A server that answers no more and does not hang up either is away, and soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.settings import usable_url
from flowlet.store.connection import Connections, Session
from flowlet.store.opening import dialect_of
from tests.store.proxy import Proxy, proxied

PATIENCE = 0.3
SECONDS = 10
"""Far more than the patience, far less than the drivers'."""


@asynccontextmanager
async def through_proxy(url: str) -> AsyncIterator[tuple[Proxy, Connections]]:
    async with proxied(usable_url(url)) as (proxy, way):
        connections = Connections(way, dialect_of(way), patience=PATIENCE)
        await connections.open()
        try:
            yield proxy, connections
        finally:
            await proxy.close()
            await connections.close()


def silencing(proxy: Proxy) -> Callable[[Session], Awaitable[Any]]:
    """Return work at whose first call the server falls silent after the first statement."""
    is_first = True

    async def work(session: Session) -> Any:
        nonlocal is_first
        rows = await session.rows("SELECT 1")
        if is_first:
            is_first = False
            proxy.fall_silent()
            await session.rows("SELECT 2")
        return rows

    return work


async def one(session: Session) -> Any:
    return await session.rows("SELECT 1")


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
@pytest.mark.parametrize("how", ["read", "write", "run"])
@pytest.mark.parametrize("is_within", [False, True], ids=["between calls", "within a call"])
async def test_a_silent_server_is_away_soon_and_the_next_call_finds_another_connection(
    request: pytest.FixtureRequest, fixture: str, how: str, is_within: bool
) -> None:
    async with through_proxy(request.getfixturevalue(fixture)) as (proxy, connections):
        call = getattr(connections, how)
        await call(one)
        work = silencing(proxy) if is_within else one
        if not is_within:
            proxy.fall_silent()

        with pytest.raises(StoreUnavailableError):
            async with asyncio.timeout(SECONDS):
                await call(work)

        async with asyncio.timeout(SECONDS):
            assert await call(work) == [(1,)]


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
async def test_a_server_that_falls_silent_before_the_commit_is_away_soon(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    async def silenced(session: Session) -> None:
        await one(session)
        proxy.fall_silent()

    async with through_proxy(request.getfixturevalue(fixture)) as (proxy, connections):
        with pytest.raises(StoreUnavailableError):
            async with asyncio.timeout(SECONDS):
                await connections.write(silenced)

        async with asyncio.timeout(SECONDS):
            assert await connections.write(one) == [(1,)]
