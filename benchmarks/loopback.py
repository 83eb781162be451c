"""Raw HTTP/1.1 keep-alive connections to a local server: a client with minimal overhead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

HEADER_END = b"\r\n\r\n"


class HttpResponse(NamedTuple):
    """A response."""

    status: int
    body: bytes


class LoopbackConnection(asyncio.Protocol):
    """One connection, for one request at a time."""

    def __init__(self) -> None:
        self.is_open = True
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._response: asyncio.Future[HttpResponse] | None = None

    def send_request(self, request: bytes) -> asyncio.Future[HttpResponse]:
        """Send a request, and return a future of its response."""
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._response

    def close(self) -> None:
        """Close the connection."""
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(HEADER_END)
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(rest) >= length:
            self._received = rest[length:]
            self.is_open = b"connection: close" not in lines
            if not self._response.cancelled():
                self._response.set_result(HttpResponse(int(head[9:12]), rest[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._response and not self._response.done():
            self._response.set_exception(ConnectionError("the server closed the connection without a response"))


class LoopbackClient:
    """A client of a server, with an API key."""

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self.host, self.port = parts.hostname, parts.port
        self._head = f"Host: {parts.netloc}\r\nX-API-Key: {key}\r\n"

    def encode_get(self, path: str) -> bytes:
        """Return the text of a GET."""
        return f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode()

    def encode_post(self, path: str, body: object) -> bytes:
        """Return the text of a POST of JSON."""
        content = orjson.dumps(body)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{self._head}{kind}\r\n".encode() + content

    async def open_connection(self) -> LoopbackConnection:
        """Open a connection."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(LoopbackConnection, self.host, self.port))[1]


@dataclass
class LoadResult:
    """The result of many requests. Times are in milliseconds, sorted."""

    seconds: float
    latencies_milliseconds: list[float]
    failures: dict[int | str, int] = field(default_factory=dict)
    reconnects: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies_milliseconds) / self.seconds

    def get_quantile(self, share: float) -> float:
        """Return the time that this share of the requests did not exceed."""
        return compute_quantile(self.latencies_milliseconds, share)


def compute_quantile(ordered: list[float], share: float) -> float:
    """Return the value that this share of sorted values does not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


async def run_load(
    client: LoopbackClient, requests: Iterator[bytes], *, connections: int, seconds: float
) -> LoadResult:
    """Send requests, one at a time on each connection, until there are none left or the time is over."""
    result = LoadResult(0.0, [])
    began = time.perf_counter()
    until = began + seconds

    async def send_requests() -> None:
        connection = await client.open_connection()
        for request in requests:
            if time.perf_counter() > until:
                break
            if not connection.is_open:
                result.reconnects += 1
                connection.close()
                connection = await client.open_connection()
            at = time.perf_counter()
            outcome: int | str = "lost"
            with suppress(ConnectionError):
                outcome = (await connection.send_request(request)).status
            if outcome in (200, 201):
                result.latencies_milliseconds.append((time.perf_counter() - at) * 1000)
            else:
                result.failures[outcome] = result.failures.get(outcome, 0) + 1
        connection.close()

    await asyncio.gather(*(send_requests() for _ in range(connections)))
    result.seconds = time.perf_counter() - began
    result.latencies_milliseconds.sort()
    return result
