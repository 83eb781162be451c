"""``FLOWLET_STOP_DELAY``: a process that is to stop says so at ``/readyz``, and serves on until balancers know it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from flowlet.shutdown import Shutdown
from flowlet.web.server import create_listener, format_address, serve_web
from tests.engine.executor_harness import wait_for
from tests.web.app_harness import AppHarness


async def test_a_process_that_is_to_stop_is_not_ready_and_serves_until_the_delay_is_over(
    app_harness: AppHarness,
) -> None:
    stop, listener = Shutdown(), create_listener("127.0.0.1", 0)
    address = format_address(listener)
    app = app_harness.build_own_app().app
    serving = asyncio.create_task(serve_web(app, listener, stop=stop, grace_seconds=0.1, stop_delay_seconds=600))
    async with httpx.AsyncClient(base_url=address, transport=httpx.AsyncHTTPTransport()) as client:
        before = await client.get("/readyz")
        stop.request()
        during = await client.get("/readyz")
        alive = await client.get("/healthz")
        stop.force()
        await wait_for(serving)
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")

    assert (before.status_code, before.json()["status"]) == (200, "ready")
    assert (during.status_code, during.json()["checks"]["process"]) == (503, "is to stop")
    assert alive.status_code == 200
