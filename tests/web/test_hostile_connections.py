"""Malformed bytes on a socket: the server still serves the next request, has no error, and logs no traceback."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from flowlet.shutdown import Shutdown
from flowlet.web.server import create_listener, serve_web
from tests.engine.executor_harness import wait_for
from tests.web.app_harness import AppHarness
from tests.web.http_server import serve_app

TIMEOUT_SECONDS = 10.0
HOST_LINE = b"Host: 127.0.0.1\r\n"
HOST_HEADERS = HOST_LINE + b"Connection: close\r\n"
CHUNKED_HEAD = b"POST /api/orders HTTP/1.1\r\n" + HOST_HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE_HEAD = (
    b"GET /healthz HTTP/1.1\r\n" + HOST_LINE + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
)

HOSTILE_REQUESTS = {
    "nothing": b"",
    "line ends": b"\r\n" * 1000,
    "noise": bytes(range(256)) * 20,
    "a NUL": b"\x00",
    "a hello of TLS": bytes.fromhex("16030100a5010000a10303") + b"\x11" * 160,
    "no version": b"GET /healthz\r\n\r\n",
    "another version": b"GET /healthz HTTP/9.9\r\n" + HOST_HEADERS + b"\r\n",
    "no path": b"GET HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "a method of noise": b"G\xffT /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "an unknown method": b"BREW /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "a path of noise": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "a broken escape": b"GET /api/%zz%1 HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "an endless path": b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "an endless query": b"GET /healthz?" + b"a=1&" * 30_000 + b" HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "an address for a proxy": b"GET http://elsewhere.test/healthz HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "a tunnel": b"CONNECT elsewhere.test:443 HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a host of noise": b"GET /api/orders HTTP/1.1\r\nHost: \xff[::\r\n\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"nonsense\r\n\r\n",
    "a header with a NUL": b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"X-A: a\x00b\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"X-A: a\r\n b\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"X-A: a\r\n" * 20_000 + b"\r\n",
    "an endless header": b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"X-A: " + b"a" * 300_000 + b"\r\n\r\n",
    "a negative length": b"POST /api/orders HTTP/1.1\r\n" + HOST_HEADERS + b"Content-Length: -1\r\n\r\n",
    "a length in words": b"POST /api/orders HTTP/1.1\r\n" + HOST_HEADERS + b"Content-Length: ten\r\n\r\n",
    "two lengths": b"POST /api/orders HTTP/1.1\r\n"
    + HOST_HEADERS
    + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length beyond all": b"POST /api/orders HTTP/1.1\r\n"
    + HOST_HEADERS
    + b"Content-Length: "
    + b"9" * 30
    + b"\r\n\r\n{}",
    "a length and chunks": b"POST /api/orders HTTP/1.1\r\n"
    + HOST_HEADERS
    + b"Content-Length: 2\r\n"
    + CHUNKED_HEAD[-31:]
    + b"0\r\n\r\n",
    "an unknown coding": b"POST /api/orders HTTP/1.1\r\n" + HOST_HEADERS + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a chunk of no size": CHUNKED_HEAD + b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED_HEAD + b"-2\r\n{}\r\n0\r\n\r\n",
    "an endless chunk": CHUNKED_HEAD + b"f" * 30 + b"\r\n{}",
    "a chunk that is longer": CHUNKED_HEAD + b"2\r\n{} and more\r\n0\r\n\r\n",
    "a chunk's endless name": CHUNKED_HEAD + b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
    "half a body": b"POST /api/orders HTTP/1.1\r\n" + HOST_HEADERS + b"Content-Length: 10\r\n\r\n{",
    "half a chunk": CHUNKED_HEAD + b"a\r\n{",
    "half a header": b"GET /healthz HTTP/1.1\r\nHos",
    "a body too long": b"POST /api/orders HTTP/1.1\r\n"
    + HOST_HEADERS
    + b"Content-Length: 300000\r\n\r\n"
    + b" " * 300_000,
    "chunks too long": CHUNKED_HEAD + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 80 + b"0\r\n\r\n",
    "a second request of noise": b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n\x00\x01\x02\r\n\r\n",
    "HTTP/2 and noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(256)),
    "HTTP/2 and a frame beyond all": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x04\x00\x00\x00\x00\x00",
    "half of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nS",
    "an upgrade without settings": UPGRADE_HEAD + b"\r\n",
    "an upgrade with settings of noise": UPGRADE_HEAD + b"HTTP2-Settings: !!!\r\n\r\n",
    "an upgrade with settings cut short": UPGRADE_HEAD + b"HTTP2-Settings: AAMAAABkAAQ\r\n\r\n",
    "an upgrade with settings beyond all": UPGRADE_HEAD + b"HTTP2-Settings: AAX_____\r\n\r\n",
    "an upgrade with a body": b"POST" + UPGRADE_HEAD[3:] + b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n\r\n{}",
    "a socket for the web": b"GET /healthz HTTP/1.1\r\n"
    + HOST_LINE
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a proper socket for the web": (
        b"GET /healthz HTTP/1.1\r\n" + HOST_LINE + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ),
}


@asynccontextmanager
async def serve_connections(app_harness: AppHarness, caplog: pytest.LogCaptureFixture) -> AsyncIterator[int]:
    """Serve an application as ``flowlet serve`` does, and give its port.

    At the end it answers a request in good order, and has logged no error.
    """
    gc.collect()  # what earlier tests left says so now, and is not counted here
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    app = app_harness.build_own_app().app
    app.config["BODY_TIMEOUT"] = 0.2
    stop, listener = Shutdown(), create_listener("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    task = asyncio.create_task(serve_web(app, listener, stop=stop, grace_seconds=0.1))
    try:
        yield port
        assert await is_answering(port)
    finally:
        stop.request()
        await wait_for(task)
    gc.collect()  # tasks that have failed say so when they go
    assert [
        record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
    ] == []


async def is_answering(port: int) -> bool:
    """Return whether the server responds to a well-formed request."""
    return (await send_bytes(port, b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n")).startswith(b"HTTP/1.1 200")


async def send_bytes(port: int, text: bytes, *, closes_writing: bool = True) -> bytes:
    """Send bytes, close the sending side, and return everything that the server sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        with suppress(OSError, TimeoutError):
            writer.write(text)
            await writer.drain()
            if closes_writing:
                writer.write_eof()
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while part := await reader.read(65_536):
                    answer += part
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer


async def test_no_hostile_request_is_a_fault_of_the_server(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve_connections(app_harness, caplog) as port:
        answers = await asyncio.gather(*(send_bytes(port, text) for text in HOSTILE_REQUESTS.values()))

    statuses = {name: answer[9:12].decode() for name, answer in zip(HOSTILE_REQUESTS, answers, strict=True)}
    assert {name for name, status in statuses.items() if status.startswith("5")} <= {
        "an unknown coding"
    }  # 501: RFC 9112
    assert {name for name, status in statuses.items() if status == "101"} == set()


@pytest.mark.parametrize("start", [b"Content-Length: 10\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{"])
async def test_a_body_that_does_not_come_is_waited_for_no_longer_than_allowed(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture, start: bytes
) -> None:
    async with serve_connections(app_harness, caplog) as port:
        answer = await send_bytes(port, b"POST /api/orders HTTP/1.1\r\n" + HOST_HEADERS + start, closes_writing=False)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer
    assert b"/problems/body-timeout" in answer


async def test_an_answer_that_does_not_wait_for_the_body_says_that_it_ends_the_connection(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture
) -> None:
    request = b"POST /api/users HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 2\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n"

    async with serve_connections(app_harness, caplog) as port:
        without_body = await send_bytes(port, request, closes_writing=False)
        with_body = await send_bytes(port, request + b"{}" + last, closes_writing=False)

    assert without_body.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in without_body.lower()
    assert with_body.startswith(b"HTTP/1.1 401")
    assert with_body.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /api/users HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 8000000\r\n\r\n", b"401"),
        (b"POST /api/orders HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 8000000\r\n\r\n", b"413"),
    ],
)
async def test_a_client_that_is_still_sending_gets_its_refusal(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture, head: bytes, status: bytes
) -> None:
    async with serve_connections(app_harness, caplog) as port:
        answers = [await send_bytes(port, head + b" " * 8_000_000, closes_writing=False) for _ in range(3)]

    assert [answer[9:12] for answer in answers] == [status] * 3


@pytest.mark.parametrize(
    "text", [b"", b"GET /hea", CHUNKED_HEAD, CHUNKED_HEAD + b"10\r\n{", HOSTILE_REQUESTS["a body too long"]]
)
async def test_a_connection_that_is_cut_harms_nobody(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    async with serve_connections(app_harness, caplog) as port:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text)
            writer.transport.abort()  # what is unread makes it a reset
            with suppress(OSError):
                await writer.wait_closed()


async def test_who_says_nothing_keeps_nobody_else_out(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve_connections(app_harness, caplog) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]

        assert await is_answering(port)

        for _, writer in silent:
            writer.transport.abort()


async def test_requests_that_come_at_once_are_answered_in_their_order(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture
) -> None:
    first = b"GET /healthz HTTP/1.1\r\n" + HOST_LINE + b"\r\n"
    second = b"GET /api/nothing HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n"

    async with serve_connections(app_harness, caplog) as port:
        answer = await send_bytes(port, first + second, closes_writing=False)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.rindex(b"HTTP/1.1 404") > 0


@pytest.mark.parametrize("is_our_server", [True, False])
async def test_a_body_with_two_lengths_is_refused_and_hides_no_second_request(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture, is_our_server: bool
) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\n" + HOST_HEADERS + b"\r\n"
    lengths = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(hidden))
    text = b"POST /api/orders HTTP/1.1\r\n" + HOST_LINE + lengths + hidden

    if is_our_server:
        async with serve_connections(app_harness, caplog) as port:
            answer = await send_bytes(port, text, closes_writing=False)
    else:
        async with serve_app(app_harness.app) as client:
            answer = await send_bytes(client.base_url.port or 0, text, closes_writing=False)

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1
