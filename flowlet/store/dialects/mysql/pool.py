"""The pool of sessions with MariaDB or MySQL, in the place of the one that ``databases`` makes."""

from __future__ import annotations

import asyncio
from typing import Any

import aiomysql
from databases.backends.mysql import MySQLBackend

from flowlet.database_url import ServerUrl
from flowlet.store.dialects.mysql.session import MySQLSession, MySQLSessionOpener

__all__ = ["SessionBackend", "SessionPool"]


class SessionPool(aiomysql.Pool):  # type: ignore[misc]  # aiomysql has no types
    """A pool whose connections ``MySQLSessionOpener`` opens, and which can replace all of them.

    Args:
        opener: What opens a connection.
        max_size: How many connections there may be.
        recycle_seconds: After how long without use a connection is replaced.
    """

    def __init__(self, opener: MySQLSessionOpener, *, max_size: int, recycle_seconds: int) -> None:
        super().__init__(
            minsize=0, maxsize=max_size, echo=False, pool_recycle=recycle_seconds, loop=asyncio.get_running_loop()
        )
        self._opener = opener
        self._max_size = max_size
        self._expired: set[MySQLSession] = set()

    def expire_connections(self) -> None:
        """Close every connection: those in use when they are released."""
        while self._free:
            self._free.pop().close()
        self._expired = set(self._used)

    def release(self, conn: MySQLSession) -> Any:
        """Take a connection back, and wake a task that waits for one, which aiomysql forgets where it was lost."""
        if conn in self._expired:
            self._expired.discard(conn)
            conn.close()
        super().release(conn)
        return self._loop.create_task(self._wakeup())

    async def _fill_free_pool(self, override_min: bool) -> None:
        """Close the lost connections, and open one if there is none and it may be."""
        await super()._fill_free_pool(False)
        if self._free or not override_min or self.size >= self._max_size:
            return
        self._acquiring += 1
        try:
            self._free.append(await self._opener.open_session())
        finally:
            self._acquiring -= 1


class SessionBackend(MySQLBackend):
    """What ``databases`` calls to connect.

    Args:
        database_url: Of no use here: ``databases`` cannot read a URL with several hosts.
        options: ``server``, the parts of the URL; ``for_engine``; ``max_size`` and ``recycle_seconds`` of the pool.
    """

    async def connect(self) -> None:
        """Make the pool; its connections are opened when they are needed."""
        server: ServerUrl = self._options["server"]
        self._pool = SessionPool(  # type: ignore[assignment]  # databases declares it as None
            MySQLSessionOpener(server, for_engine=self._options["for_engine"]),
            max_size=self._options["max_size"],
            recycle_seconds=self._options["recycle_seconds"],
        )
