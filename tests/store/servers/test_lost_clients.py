"""Sessions end soon where their client has gone without a packet: what they have locked is free again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.store.database_session import DatabaseSession
from tests.store.servers.test_session_settings import open_connections

POSTGRES_SQL = (
    "SELECT current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'), "
    "current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout')"
)
MARIADB_SQL = "SELECT @@idle_transaction_timeout"
LOCK_SQL = "SELECT step FROM flowlet_schema_version FOR UPDATE"
WAYS = ("read", "write", "run_on_engine")


async def read_limits(session: DatabaseSession) -> tuple[Any, ...]:
    """Return how long the server waits for a client that says nothing."""
    ((*limits,),) = await session.fetch_rows(MARIADB_SQL if session.dialect.name == "mysql" else POSTGRES_SQL)
    return tuple(limits)


@pytest.mark.parametrize("way", WAYS)
async def test_postgresql_looks_after_ten_seconds_whether_a_client_is_still_there(postgres_url: str, way: str) -> None:
    async with open_connections(postgres_url) as connections:
        call: Callable[[Callable[[DatabaseSession], Awaitable[Any]]], Awaitable[Any]] = getattr(connections, way)

        assert await call(read_limits) == ("5", "2", "3", "10000")


@pytest.mark.parametrize("way", WAYS)
async def test_mariadb_rolls_back_what_has_been_idle_for_ten_seconds(mariadb_url: str, way: str) -> None:
    async with open_connections(mariadb_url) as connections:
        call: Callable[[Callable[[DatabaseSession], Awaitable[Any]]], Awaitable[Any]] = getattr(connections, way)

        assert await call(read_limits) == (10,)


async def test_a_handlers_own_transaction_on_mariadb_may_be_idle_for_longer(mariadb_url: str) -> None:
    async with open_connections(mariadb_url) as connections:
        async with connections.transaction() as session:
            inside = await session.fetch_rows(f"{MARIADB_SQL}, @@in_transaction")

        assert inside == [(0, 1)]
        assert await connections.write(read_limits) == (10,)


async def test_what_a_silent_client_has_locked_on_mariadb_is_free_again(mariadb_url: str) -> None:
    has_locked, may_continue = asyncio.Event(), asyncio.Event()

    async def lock_and_say_nothing(session: DatabaseSession) -> None:
        await session.execute("BEGIN")
        await session.fetch_rows(LOCK_SQL)
        has_locked.set()
        await may_continue.wait()
        await session.execute("COMMIT")

    async with open_connections(mariadb_url) as silent, open_connections(mariadb_url) as other:
        unheard = asyncio.create_task(silent.run_on_engine(lock_and_say_nothing))
        await has_locked.wait()
        rows = await other.write(lambda session: session.fetch_rows(LOCK_SQL), is_bounded=False)
        may_continue.set()

        assert rows
        with pytest.raises(StoreUnavailableError):
            await unheard
