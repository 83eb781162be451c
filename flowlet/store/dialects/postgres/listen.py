"""Listening to PostgreSQL: a connection of its own, because a pool's reset would end LISTEN.

A notification without a sender's name comes from a transaction whose commit its own process cannot see, such as that of
a caller who creates an instance in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import asyncpg

from flowlet.database_url import parse_server_url
from flowlet.errors import StoreUnavailableError
from flowlet.store.commits import UNKNOWN_COMMIT, Commit
from flowlet.store.dialects.postgres.session import PostgresSession, PostgresSessionOpener, refuse_read_only
from flowlet.store.dialects.signals import ListenRequest

__all__ = ["listen"]

HEARTBEAT_SECONDS, ANSWER_SECONDS = 5.0, 5.0
"""How often the connection proves that it still is one, and how long that may take: a firewall that forgets a quiet
connection lets no notification through and reports no error. So it is found dead within ten seconds."""


async def listen(listen_request: ListenRequest, own_name: str, read_channel: str) -> None:
    """Call ``on_commit`` at each notification of another sender, and once at first, until the connection is lost.

    Args:
        listen_request: Who is called.
        own_name: This process's name in notifications.
        read_channel: The statement that reads the channel's name.

    Raises:
        OSError: If the connection cannot be made.
        TimeoutError: If the server no longer answers on it.
        asyncpg.PostgresError: If the server refuses the login, or takes no writes any more.
    """
    lost = asyncio.Event()
    session = await PostgresSessionOpener(parse_server_url(listen_request.url)).open_session()

    def receive(_connection: Any, _pid: int, _channel: str, text: str) -> None:
        sender, _, group = text.partition(":")
        if sender != own_name:
            listen_request.on_commit(Commit(frozenset((group,) if group else ())))

    try:
        session.add_termination_listener(lambda _: lost.set())
        async with asyncio.timeout(ANSWER_SECONDS):
            await session.add_listener(await session.fetchval(read_channel), receive)
        listen_request.on_commit(UNKNOWN_COMMIT)  # whatever was committed before the connection was there
        while not await _wait_until_lost(lost):
            await _prove_connection(session, listen_request)
    except BaseException:
        session.terminate()
        raise
    finally:
        with contextlib.suppress(Exception):
            await session.close(timeout=1)


async def _wait_until_lost(lost: asyncio.Event) -> bool:
    """Return whether the connection was lost before the next heartbeat."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await lost.wait()
    return lost.is_set()


async def _prove_connection(session: PostgresSession, listen_request: ListenRequest) -> None:
    """Ask the server something on the connection; where it takes no writes, leave it, and let the pools do so too."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await refuse_read_only(session, purpose="LISTEN")
    except TimeoutError:
        raise TimeoutError(f"the server has not answered for {ANSWER_SECONDS:g} seconds") from None
    except asyncpg.ReadOnlySQLTransactionError:
        with contextlib.suppress(StoreUnavailableError):
            await listen_request.read(refuse_read_only)
        raise
