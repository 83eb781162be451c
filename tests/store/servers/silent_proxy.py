"""A way to a server that can fall silent: what a firewall that drops packets, or a frozen host, looks like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

__all__ = ["SilentProxy", "open_proxy"]

CHUNK_BYTES = 65_536


class SilentProxy:
    """Passes on what comes, in both directions, but not on connections that were there when it fell silent."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._silent: set[int] = set()
        self._is_silent = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    def silence_connections(self) -> None:
        """Answer no more on the connections that are open, and do not close them either."""
        self._silent |= set(range(self._connections))

    def silence_new_connections(self) -> None:
        """Accept connections, and let nothing through on them."""
        self._is_silent = True

    def switch_server(self, url: str) -> None:
        """Lead new connections to another server; those that are open stay with theirs."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._host, self._port = parts.hostname, parts.port

    async def accept_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client with the server, until both have closed."""
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        number, self._connections = self._connections, self._connections + 1
        if self._is_silent:
            self._silent.add(number)
        writers = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
            writers.append(server_writer)
            await asyncio.gather(
                self._forward_bytes(number, reader, server_writer), self._forward_bytes(number, server_reader, writer)
            )
        finally:
            for one in writers:
                one.transport.abort()

    async def _forward_bytes(
        self, connection_number: int, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(CHUNK_BYTES):
            if connection_number not in self._silent:
                target.write(data)
        target.close()

    async def close_connections(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def open_proxy(url: str) -> AsyncIterator[tuple[SilentProxy, str]]:
    """Give a proxy before the server of a URL, and the URL through it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    proxy = SilentProxy(parts.hostname, parts.port)
    server = await asyncio.start_server(proxy.accept_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy, parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()
        await proxy.close_connections()
