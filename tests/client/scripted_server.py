"""A server that answers by a script, one request after another: what a real one does only when it is in trouble."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flowlet.client import AsyncClient
from tests.client.served_api import connect_client
from tests.engine.executor_harness import wait_for

__all__ = [
    "RecordedRequest",
    "Reply",
    "ScriptedServer",
    "build_problem_reply",
    "build_reply",
    "build_stream_reply",
    "drop_connection",
    "never_reply",
    "open_scripted_client",
    "open_scripted_server",
]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it came; the headers' names in small letters."""

    request_line: str
    headers: Mapping[str, str]
    body: Any


Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request; the connection is closed when it returns."""


@dataclass(slots=True)
class ScriptedServer:
    """A server, what it has still to answer, and what it has been asked."""

    url: str
    replies: list[Reply]
    requests: list[RecordedRequest] = field(default_factory=list)


def build_reply(
    status: int, body: Any = None, *, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Reply:
    """Return an answer: of a text, or of what JSON says."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    told = {"Content-Type": content_type, "Content-Length": str(len(content)), "Connection": "close", **(headers or {})}
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n" + "".join(f"{key}: {told[key]}\r\n" for key in told)

    async def write_reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + b"\r\n" + content)

    return write_reply


def build_problem_reply(name: str, status: int, *, headers: Mapping[str, str] | None = None, **more: Any) -> Reply:
    """Return an error as Flowlet tells one."""
    told = {"type": f"/problems/{name}", "title": "", "status": status, "detail": "It is told so.", **more}
    return build_reply(status, told, content_type="application/problem+json", headers=headers)


async def drop_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection without a word."""


async def never_reply(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing until the client has left."""
    await reader.read()


def build_stream_reply(*chunks: bytes, drops_connection: bool = True) -> Reply:
    """Return a stream of events that sends chunks and then ends, or stays silent unless it ``drops_connection``."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def write_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for chunk in chunks:
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        if not drops_connection:
            await never_reply(reader, writer)

    return write_stream


@asynccontextmanager
async def open_scripted_server(*replies: Reply) -> AsyncIterator[ScriptedServer]:
    """Serve a script on this machine, a connection for each request."""
    script = ScriptedServer("", list(replies))
    answers: set[asyncio.Task[None]] = set()

    async def answer_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            script.requests.append(await _read_request(reader))
            await script.replies.pop(0)(reader, writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def accept_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.add(asyncio.create_task(answer_request(reader, writer)))

    server = await asyncio.start_server(accept_connection, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        await wait_for(asyncio.gather(*answers))


@asynccontextmanager
async def open_scripted_client(
    client_kind: str, *replies: Reply, **options: Any
) -> AsyncIterator[tuple[ScriptedServer, AsyncClient]]:
    """Serve a script, and give a client of it too; ``options`` are the client's."""
    async with open_scripted_server(*replies) as script, connect_client(client_kind, script.url, **options) as client:
        yield script, client


async def _read_request(reader: asyncio.StreamReader) -> RecordedRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return RecordedRequest(line.removesuffix(" HTTP/1.1"), headers, json.loads(content) if content else None)
