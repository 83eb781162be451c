"""A server with scripted replies, for behaviour that a real server shows only in trouble."""

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
    """A received request, with lower-case header names."""

    request_line: str
    headers: Mapping[str, str]
    body: Any


Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""A function that replies to a request; the server closes the connection when it returns."""


@dataclass(slots=True)
class ScriptedServer:
    """A server, its remaining replies, and the requests that it received."""

    url: str
    replies: list[Reply]
    requests: list[RecordedRequest] = field(default_factory=list)


def build_reply(
    status: int, body: Any = None, *, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Reply:
    """Return a reply with a text, or with a value as JSON."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    fields = {
        "Content-Type": content_type,
        "Content-Length": str(len(content)),
        "Connection": "close",
        **(headers or {}),
    }
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n" + "".join(f"{key}: {fields[key]}\r\n" for key in fields)

    async def write_reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + b"\r\n" + content)

    return write_reply


def build_problem_reply(name: str, status: int, *, headers: Mapping[str, str] | None = None, **more: Any) -> Reply:
    """Return a reply with a problem document."""
    problem = {"type": f"/problems/{name}", "title": "", "status": status, "detail": "A scripted problem.", **more}
    return build_reply(status, problem, content_type="application/problem+json", headers=headers)


async def drop_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection without a reply."""


async def never_reply(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Send nothing until the client disconnects."""
    await reader.read()


def build_stream_reply(*chunks: bytes, drops_connection: bool = True, position: int | None = None) -> Reply:
    """Return a stream of events that sends chunks and then ends, or stays silent unless it ``drops_connection``.

    With a position its head says where it begins.
    """
    begins = b"" if position is None else b"Last-Event-ID: %d\r\n" % position
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%bTransfer-Encoding: chunked\r\n\r\n" % begins

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
    """Serve scripted replies on this machine, one connection for each request."""
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
    """Serve scripted replies, and open a client with these options."""
    async with open_scripted_server(*replies) as script, connect_client(client_kind, script.url, **options) as client:
        yield script, client


async def _read_request(reader: asyncio.StreamReader) -> RecordedRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return RecordedRequest(line.removesuffix(" HTTP/1.1"), headers, json.loads(content) if content else None)
