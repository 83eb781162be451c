"""Raw keep-alive connections of HTTP/1.1 to a server on this machine: a client that costs as little as one can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

END = b"\r\n\r\n"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One connection, on which one request is made at a time."""

    def __init__(self) -> None:
        self.is_open = True
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request and return the answer that is to come."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(END)
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(rest) >= length:
            self._received = rest[length:]
            self.is_open = b"connection: close" not in lines
            self._answer.set_result(Answer(int(head[9:12]), rest[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server has closed the connection without an answer"))


class Client:
    """Makes requests of a server, with an API key."""

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self.host, self.port = parts.hostname, parts.port
        self._head = f"Host: {parts.netloc}\r\nX-API-Key: {key}\r\n"

    def get(self, path: str) -> bytes:
        """Return the text of a GET."""
        return f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode()

    def post(self, path: str, body: object) -> bytes:
        """Return the text of a POST of JSON."""
        content = orjson.dumps(body)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{self._head}{kind}\r\n".encode() + content

    async def connect(self) -> Connection:
        """Open a connection."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, self.host, self.port))[1]


@dataclass
class Load:
    """What many requests have come to. Times are in milliseconds, sorted."""

    seconds: float
    times: list[float]
    failures: dict[int | str, int] = field(default_factory=dict)
    reconnects: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.times) / self.seconds

    def at(self, share: float) -> float:
        """Return the time that this share of the requests did not exceed."""
        return quantile(self.times, share)


def quantile(ordered: list[float], share: float) -> float:
    """Return the value that this share of sorted values does not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


async def load(client: Client, requests: Iterator[bytes], *, connections: int, seconds: float) -> Load:
    """Make requests, each connection one after the other, until they or the seconds are used up."""
    result = Load(0.0, [])
    began = time.perf_counter()
    until = began + seconds

    async def ask_on() -> None:
        connection = await client.connect()
        for request in requests:
            if time.perf_counter() > until:
                break
            if not connection.is_open:
                result.reconnects += 1
                connection.close()
                connection = await client.connect()
            at = time.perf_counter()
            outcome: int | str = "lost"
            with suppress(ConnectionError):
                outcome = (await connection.ask(request)).status
            if outcome in (200, 201):
                result.times.append((time.perf_counter() - at) * 1000)
            else:
                result.failures[outcome] = result.failures.get(outcome, 0) + 1
        connection.close()

    await asyncio.gather(*(ask_on() for _ in range(connections)))
    result.seconds = time.perf_counter() - began
    result.times.sort()
    return result
