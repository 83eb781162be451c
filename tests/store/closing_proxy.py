"""A way to a server that closes a connection on which certain bytes come, as a server does with too large a packet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

__all__ = ["open_closing_proxy"]

CHUNK_BYTES = 65_536


@asynccontextmanager
async def open_closing_proxy(url: str, forbidden: bytes) -> AsyncIterator[str]:
    """Give the URL of a server through a proxy that closes a connection when the client sends the forbidden bytes."""
    parts = urlsplit(url)
    tasks: set[asyncio.Task[None] | None] = set()

    async def accept_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        writers = [writer]

        async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter, unwanted: bytes | None) -> None:
            while data := await source.read(CHUNK_BYTES):
                if unwanted is not None and unwanted in data:
                    break
                target.write(data)
            abort_all(writers)

        try:
            server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
            writers.append(server_writer)
            await asyncio.gather(forward(reader, server_writer, forbidden), forward(server_reader, writer, None))
        finally:
            abort_all(writers)

    server = await asyncio.start_server(accept_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()
        accepted = [task for task in tasks if task is not None]
        for task in accepted:
            task.cancel()
        await asyncio.gather(*accepted, return_exceptions=True)


def abort_all(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Close connections at once."""
    for writer in writers:
        writer.transport.abort()
