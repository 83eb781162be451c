"""Whatever comes over a socket: the server answers the next request, is at no fault, and logs no traceback."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from flowlet.stopping import Stop
from flowlet.web.serving import listen, serve_web
from tests.engine.running import seen
from tests.web.probe import Probe

PATIENCE = 10.0
NAME = b"Host: 127.0.0.1\r\n"
HOST = NAME + b"Connection: close\r\n"
CHUNKED = b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"GET /healthz HTTP/1.1\r\n" + NAME + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"

HOSTILE = {
    "nothing": b"",
    "line ends": b"\r\n" * 1000,
    "noise": bytes(range(256)) * 20,
    "a NUL": b"\x00",
    "a hello of TLS": bytes.fromhex("16030100a5010000a10303") + b"\x11" * 160,
    "no version": b"GET /healthz\r\n\r\n",
    "another version": b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n",
    "no path": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method of noise": b"G\xffT /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"BREW /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path of noise": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a broken escape": b"GET /api/%zz%1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an endless path": b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an endless query": b"GET /healthz?" + b"a=1&" * 30_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address for a proxy": b"GET http://elsewhere.test/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT elsewhere.test:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a host of noise": b"GET /api/orders HTTP/1.1\r\nHost: \xff[::\r\n\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "a header with a NUL": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\x00b\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\r\n b\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\r\n" * 20_000 + b"\r\n",
    "an endless header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 300_000 + b"\r\n\r\n",
    "a negative length": b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "a length in words": b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Content-Length: ten\r\n\r\n",
    "two lengths": b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length beyond all": b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
    "a length and chunks": b"POST /api/orders HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 2\r\n"
    + CHUNKED[-31:]
    + b"0\r\n\r\n",
    "an unknown coding": b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a chunk of no size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "an endless chunk": CHUNKED + b"f" * 30 + b"\r\n{}",
    "a chunk that is longer": CHUNKED + b"2\r\n{} and more\r\n0\r\n\r\n",
    "a chunk's endless name": CHUNKED + b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
    "half a body": b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n{",
    "half a chunk": CHUNKED + b"a\r\n{",
    "half a header": b"GET /healthz HTTP/1.1\r\nHos",
    "a body too long": b"POST /api/orders HTTP/1.1\r\n" + HOST + b"Content-Length: 300000\r\n\r\n" + b" " * 300_000,
    "chunks too long": CHUNKED + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 80 + b"0\r\n\r\n",
    "a second request of noise": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n\x00\x01\x02\r\n\r\n",
    "HTTP/2 and noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(256)),
    "HTTP/2 and a frame beyond all": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x04\x00\x00\x00\x00\x00",
    "half of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nS",
    "an upgrade without settings": UPGRADE + b"\r\n",
    "an upgrade with settings of noise": UPGRADE + b"HTTP2-Settings: !!!\r\n\r\n",
    "an upgrade with settings cut short": UPGRADE + b"HTTP2-Settings: AAMAAABkAAQ\r\n\r\n",
    "an upgrade with settings beyond all": UPGRADE + b"HTTP2-Settings: AAX_____\r\n\r\n",
    "an upgrade with a body": b"POST" + UPGRADE[3:] + b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n\r\n{}",
    "a socket for the web": b"GET /healthz HTTP/1.1\r\n" + NAME + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a proper socket for the web": (
        b"GET /healthz HTTP/1.1\r\n" + NAME + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ),
}


@asynccontextmanager
async def serving(probe: Probe, caplog: pytest.LogCaptureFixture) -> AsyncIterator[int]:
    """Serve an application as ``flowlet serve`` does, and give its port.

    At the end it answers a request in good order, and has logged no error.
    """
    caplog.set_level(logging.DEBUG)
    probe.app.config["BODY_TIMEOUT"] = 0.2
    stop, listener = Stop(), listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    task = asyncio.create_task(serve_web(probe.app, listener, stop=stop, grace_seconds=0.1))
    try:
        yield port
        assert await alive(port)
    finally:
        stop.tell()
        await seen(task)
    gc.collect()  # tasks that have failed say so when they go
    assert [
        record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
    ] == []


async def alive(port: int) -> bool:
    """Return whether the server answers a request in good order."""
    return (await told(port, b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")).startswith(b"HTTP/1.1 200")


async def told(port: int, text: bytes, *, ends: bool = True) -> bytes:
    """Send bytes, end the sending, and return what is answered until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        with suppress(OSError, TimeoutError):
            writer.write(text)
            await writer.drain()
            if ends:
                writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                while part := await reader.read(65_536):
                    answer += part
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer


async def test_no_hostile_request_is_a_fault_of_the_server(probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(probe, caplog) as port:
        answers = await asyncio.gather(*(told(port, text) for text in HOSTILE.values()))

    statuses = {name: answer[9:12].decode() for name, answer in zip(HOSTILE, answers, strict=True)}
    assert {name for name, status in statuses.items() if status.startswith("5")} <= {
        "an unknown coding"
    }  # 501: RFC 9112
    assert {name for name, status in statuses.items() if status == "101"} == set()


@pytest.mark.parametrize("start", [b"Content-Length: 10\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{"])
async def test_a_body_that_does_not_come_is_waited_for_no_longer_than_allowed(
    probe: Probe, caplog: pytest.LogCaptureFixture, start: bytes
) -> None:
    async with serving(probe, caplog) as port:
        answer = await told(port, b"POST /api/orders HTTP/1.1\r\n" + HOST + start, ends=False)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer
    assert b"/problems/body-timeout" in answer


async def test_an_answer_that_does_not_wait_for_the_body_says_that_it_ends_the_connection(
    probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    request = b"POST /api/users HTTP/1.1\r\n" + NAME + b"Content-Length: 2\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"

    async with serving(probe, caplog) as port:
        without_body = await told(port, request, ends=False)
        with_body = await told(port, request + b"{}" + last, ends=False)

    assert without_body.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in without_body.lower()
    assert with_body.startswith(b"HTTP/1.1 401")
    assert with_body.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize("text", [b"", b"GET /hea", CHUNKED, CHUNKED + b"10\r\n{", HOSTILE["a body too long"]])
async def test_a_connection_that_is_cut_harms_nobody(
    probe: Probe, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    async with serving(probe, caplog) as port:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text)
            writer.transport.abort()  # what is unread makes it a reset
            with suppress(OSError):
                await writer.wait_closed()


async def test_who_says_nothing_keeps_nobody_else_out(probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(probe, caplog) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]

        assert await alive(port)

        for _, writer in silent:
            writer.transport.abort()


async def test_requests_that_come_at_once_are_answered_in_their_order(
    probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    first = b"GET /healthz HTTP/1.1\r\n" + NAME + b"\r\n"
    second = b"GET /api/nothing HTTP/1.1\r\n" + HOST + b"\r\n"

    async with serving(probe, caplog) as port:
        answer = await told(port, first + second, ends=False)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.rindex(b"HTTP/1.1 404") > 0
