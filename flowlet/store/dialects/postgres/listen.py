"""Listening to PostgreSQL: a connection of its own, because a pool's reset would end LISTEN.

A notification without a sender's name comes from a transaction whose commit its own process cannot see, such as that of
a caller who creates an instance in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

from flowlet.store.commits import UNKNOWN_COMMIT, Commit
from flowlet.store.dialects.postgres.statements import CHANNEL
from flowlet.store.dialects.signals import ListenRequest

__all__ = ["listen"]

CONNECT_TIMEOUT_SECONDS = 10


async def listen(listen_request: ListenRequest, own_name: str) -> None:
    """Call ``on_commit`` at each notification of another sender, and once at first, until the connection is lost.

    Raises:
        OSError: If the connection cannot be made; or what asyncpg raises.
    """
    lost = asyncio.Event()
    connection = await asyncpg.connect(**_build_connect_arguments(listen_request.url), timeout=CONNECT_TIMEOUT_SECONDS)

    def receive(_connection: Any, _pid: int, _channel: str, text: str) -> None:
        sender, _, group = text.partition(":")
        if sender != own_name:
            listen_request.on_commit(Commit(frozenset((group,) if group else ())))

    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, receive)
        listen_request.on_commit(UNKNOWN_COMMIT)  # whatever was committed before the connection was there
        await lost.wait()
    finally:
        with contextlib.suppress(Exception):
            await connection.close(timeout=1)


def _build_connect_arguments(url: str) -> dict[str, Any]:
    """Return what asyncpg is to connect with: by keyword, because it reads URLs otherwise than ``databases``."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    keywords: dict[str, Any] = {
        "host": parts.hostname or options.get("host"),
        "port": parts.port,
        "user": parts.username and unquote(parts.username),
        "password": parts.password and unquote(parts.password),
        "database": unquote(parts.path[1:]),
    }
    if ssl := options.get("ssl", options.get("sslmode")):
        keywords["ssl"] = {"true": True, "false": False}.get(ssl.lower(), ssl)
    return keywords
