"""A way to a server that closes a connection on which certain bytes come, as a server does with too large a packet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

__all__ = ["open_closing_proxy"]

CHUNK_BYTES = 65_536


@asynccontextmanager
async def open_closing_proxy(url: str, forbidden: bytes) -> AsyncIterator[str]:
    """Give the URL of a server through a proxy that closes a connection when the client sends the forbidden bytes."""
    parts = urlsplit(url)
    tasks: set[asyncio.Task[None]] = set()

    async def accept_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)

        async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter, unwanted: bytes | None) -> None:
            while data := await source.read(CHUNK_BYTES):
                if unwanted is not None and unwanted in data:
                    break
                target.write(data)
            writer.transport.abort()
            server_writer.transport.abort()

        for pipe in (forward(reader, server_writer, forbidden), forward(server_reader, writer, None)):
            tasks.add(asyncio.create_task(pipe))

    server = await asyncio.start_server(accept_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
