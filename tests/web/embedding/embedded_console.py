"""A console inside another application, and a client that has logged in to it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from flowlet.web.embedding.asgi import run_lifespan_of
from tests.web.api.api_users import build_shop_module

__all__ = ["ORIGIN", "WORKFLOW", "build_flow", "list_addresses", "log_in", "open_served"]

ORIGIN = "http://flowlet.test"
WORKFLOW = "Order <1>"
PASSWORD = "correct horse"
_ADDRESS = re.compile(r"""\s(?:[a-z-]+="|content="0; url=)(/[^"]*)""")
_HIDDEN_FIELD = re.compile(r'<input type="hidden"[^>]*>')


def build_flow(url: str, **settings: Any) -> Flowlet:
    """Return an application with a workflow that waits for a person."""
    registry = Registry()
    registry.add(build_shop_module())
    return Flowlet(
        registry=registry,
        settings=Settings(database_url=url, admin_password=PASSWORD, grace="0s", groups=["shop"], **settings),
    )


@asynccontextmanager
async def open_served(application: Any, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run an ASGI application with its lifespan, and yield a client of it that behaves like a browser."""
    async with run_lifespan_of(application, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}):
        transport = httpx.ASGITransport(application)
        headers = {"Origin": ORIGIN, "Accept": "text/html", **headers}
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
            yield client


async def log_in(client: httpx.AsyncClient, prefix: str) -> httpx.Response:
    """Log in as the admin at the console below the prefix, and return the response to the form."""
    return await client.post(f"{prefix}/login", data={"username": "admin", "password": PASSWORD, "next": "/workflows"})


def list_addresses(page: httpx.Response) -> list[str]:
    """Return every path in an attribute of a page, other than the values of hidden fields, which only we read."""
    return _ADDRESS.findall(_HIDDEN_FIELD.sub("", page.text))
