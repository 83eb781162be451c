"""Listening to PostgreSQL: a connection of its own, because a pool's reset would end LISTEN."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

__all__ = ["listen"]

logger = logging.getLogger(__name__)


async def listen(url: str, channel: str, is_relevant: Callable[[str], bool], on_notify: Callable[[], None]) -> None:
    """Call ``on_notify`` at each NOTIFY whose text is meant, until cancelled; connect again where that is lost."""
    warned = False
    while True:
        lost = asyncio.Event()
        try:
            connection = await asyncpg.connect(**_build_connect_arguments(url), timeout=10)
            try:
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(channel, _build_listener(is_relevant, on_notify))
                warned = False
                on_notify()
                await lost.wait()
            finally:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.log(logging.DEBUG if warned else logging.WARNING, "cannot listen, looking now and then: %s", error)
            warned = True
        await asyncio.sleep(1)  # noqa: TID251 - a pause before a new connection, in real time


def _build_listener(is_relevant: Callable[[str], bool], on_notify: Callable[[], None]) -> Callable[..., None]:
    def receive(_connection: Any, _pid: int, _channel: str, text: str) -> None:
        if is_relevant(text):
            on_notify()

    return receive


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
