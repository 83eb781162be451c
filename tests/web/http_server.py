"""An application on a real socket, on a generic ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config

from flowlet.web.server import create_listener, format_address
from tests.engine.executor_harness import wait_for

__all__ = ["serve_app"]


@asynccontextmanager
async def serve_app(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an application for the length of the block, and shut down in order at its end."""
    listener = create_listener("127.0.0.1", 0)
    config = Config()
    base_url = format_address(listener)
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    async with httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
        try:
            yield client
        finally:
            stop.set()
            await wait_for(serving)
