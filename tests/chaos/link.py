"""The way of one executor to its database server, which can be cut: packets are lost until it is mended."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

__all__ = ["Link", "open_link"]

CHUNK_BYTES = 65_536


class Link:
    """A proxy in a thread of its own.

    While it is cut, connections stay open and nothing passes, and new ones are not accepted. What was sent
    meanwhile arrives when it is mended: as TCP sends again what a network has dropped.

    Args:
        url: The database behind it.

    Attributes:
        url: The database through it.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = parts.hostname or "", parts.port or 0
        self._loop = asyncio.new_event_loop()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        opening = asyncio.start_server(self._connect_client, "127.0.0.1", 0)
        self._listener = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        port = self._listener.sockets[0].getsockname()[1]
        self.url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing through for the length of the block."""
        self._loop.call_soon_threadsafe(self._is_open.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._is_open.set)

    def close(self) -> None:
        """End every connection, and the thread."""
        asyncio.run_coroutine_threadsafe(self._close_connections(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connect_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._is_open.wait()
            with contextlib.suppress(OSError):  # the server is away, or has ended the connection: so does the link
                server_reader, server_writer = await asyncio.open_connection(*self._server)
                ways = (self._forward_bytes(reader, server_writer), self._forward_bytes(server_reader, writer))
                await asyncio.gather(*ways)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _forward_bytes(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(CHUNK_BYTES):
                    await self._is_open.wait()
                    target.write(data)
                    await target.drain()
                await self._is_open.wait()
        finally:
            target.close()

    async def _close_connections(self) -> None:
        self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def open_link(url: str) -> Iterator[Link]:
    """Open a link to a database for the length of the block."""
    link = Link(url)
    try:
        yield link
    finally:
        link.close()
