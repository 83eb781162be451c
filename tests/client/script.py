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
from tests.client.served import connected
from tests.engine.running import seen

__all__ = ["Asked", "Play", "Script", "breaks", "playing", "problem", "replies", "scripted", "stays_silent", "stream"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came; the headers' names in small letters."""

    line: str
    headers: Mapping[str, str]
    body: Any


Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request; the connection is closed when it returns."""


@dataclass(slots=True)
class Script:
    """A server, what it has still to answer, and what it has been asked."""

    url: str
    plays: list[Play]
    asked: list[Asked] = field(default_factory=list)


def replies(
    status: int, body: Any = None, *, kind: str = "application/json", headers: Mapping[str, str] | None = None
) -> Play:
    """Return an answer: of a text, or of what JSON says."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    told = {"Content-Type": kind, "Content-Length": str(len(content)), "Connection": "close", **(headers or {})}
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n" + "".join(f"{key}: {told[key]}\r\n" for key in told)

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + b"\r\n" + content)

    return play


def problem(name: str, status: int, *, headers: Mapping[str, str] | None = None, **more: Any) -> Play:
    """Return an error as Flowlet tells one."""
    told = {"type": f"/problems/{name}", "title": "", "status": status, "detail": "It is told so.", **more}
    return replies(status, told, kind="application/problem+json", headers=headers)


async def breaks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection without a word."""


async def stays_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing until the client has left."""
    await reader.read()


def stream(*chunks: bytes, ends: bool = True) -> Play:
    """Return a stream of events that sends chunks and then breaks off; or, unless it ``ends``, stays silent."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for chunk in chunks:
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        if not ends:
            await stays_silent(reader, writer)

    return play


@asynccontextmanager
async def scripted(*plays: Play) -> AsyncIterator[Script]:
    """Serve a script on this machine, a connection for each request."""
    script = Script("", list(plays))
    answers: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            script.asked.append(await _request(reader))
            await script.plays.pop(0)(reader, writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.add(asyncio.create_task(answer(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        await seen(asyncio.gather(*answers))


@asynccontextmanager
async def playing(kind: str, *plays: Play, **options: Any) -> AsyncIterator[tuple[Script, AsyncClient]]:
    """Serve a script, and give a client of it too; ``options`` are the client's."""
    async with scripted(*plays) as script, connected(kind, script.url, **options) as client:
        yield script, client


async def _request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(line.removesuffix(" HTTP/1.1"), headers, json.loads(content) if content else None)
