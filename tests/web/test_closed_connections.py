"""Connections that their client has closed: the server keeps no socket and no task for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from flowlet.clock import StoreClock
from tests.engine.executor_harness import wait_for
from tests.web.app_harness import AppHarness
from tests.web.test_hostile_connections import serve_connections

CONNECTION_COUNT = 5
REQUESTS = {
    "after a response": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "within a request": b"GET /healthz HTTP/1.1\r\nHost:",
    "before a request": b"",
}


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("moment", REQUESTS)
async def test_a_connection_that_is_closed_leaves_no_task(
    app_harness: AppHarness, caplog: pytest.LogCaptureFixture, moment: str, is_reset: bool
) -> None:
    async with serve_connections(app_harness, caplog) as port:
        for _ in range(CONNECTION_COUNT):
            await use_connection(port, REQUESTS[moment], is_answered="response" in moment, is_reset=is_reset)

        await wait_for(wait_for_ends())


async def use_connection(port: int, request: bytes, *, is_answered: bool, is_reset: bool) -> None:
    """Open a connection, send some bytes, read the answer's first line, and close it, with a reset or without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    if is_answered:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    if is_reset:
        writer.transport.abort()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def wait_for_ends() -> None:
    """Return when the web server has no task of a connection any more."""
    clock = StoreClock()
    while any("_server_callback" in repr(task.get_coro()) for task in asyncio.all_tasks()):
        await clock.sleep(0.02)
