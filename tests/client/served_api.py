"""An application on a real socket, and both clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import httpx
from quart import request

from flowlet.client import AsyncClient, Client
from flowlet.web.openapi.document import format_path_template
from tests.web.api.api_harness import WAIT_SECONDS, ApiHarness, open_api_harness
from tests.web.http_server import serve_app

__all__ = ["CLIENT_KINDS", "WAIT_TIMEOUT", "ServedApi", "connect_client", "open_served_api"]

CLIENT_KINDS = ("asynchronous", "synchronous")
WAIT_TIMEOUT = timedelta(seconds=WAIT_SECONDS)
_END_OF_ITERATION = object()


@dataclass(frozen=True, slots=True)
class ServedApi:
    """A served application, and the endpoints that clients have called, such as "GET /api/users/{id}"."""

    api: ApiHarness
    url: str
    requested_endpoints: set[str] = field(default_factory=set)

    def build_client(self, client_kind: str, *, role: str = "operator", **options: Any) -> AsyncClient:
        """Return a client with a key of this role."""
        return connect_client(client_kind, self.url, **{"key": self.api.app_harness.keys[role], **options})


class ThreadedClient:
    """A synchronous client, or a part of one, as if it were asynchronous: each call runs in a thread."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        if name in ("users", "keys", "retention", "schedules", "teams", "inbox", "audit", "limits", "lanes", "views"):
            return ThreadedClient(value)
        if name in ("follow_events", "search_all"):
            return lambda *args, **values: ThreadedIterator(value(*args, **values))
        return _wrap_in_thread(value)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._part.close)

    async def __aenter__(self) -> ThreadedClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


class ThreadedIterator:
    """An iterator of a synchronous client, as if it were asynchronous."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)

    def __aiter__(self) -> ThreadedIterator:
        return self

    async def __anext__(self) -> Any:
        found = await asyncio.to_thread(next, self._iterator, _END_OF_ITERATION)
        if found is _END_OF_ITERATION:
            raise StopAsyncIteration
        return found

    async def aclose(self) -> None:
        await asyncio.to_thread(self._iterator.close)

    async def __aenter__(self) -> ThreadedIterator:
        await asyncio.to_thread(self._iterator.__enter__)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


def connect_client(client_kind: str, url: str, **options: Any) -> AsyncClient:
    """Return a client. Each call of a synchronous client runs in a thread, so that both are tested alike."""
    # A transport of its own, because a proxy from the environment cannot reach an address of this machine.
    if client_kind == "asynchronous":
        return AsyncClient(url, **{"http": httpx.AsyncHTTPTransport(), **options})
    return cast("AsyncClient", ThreadedClient(Client(url, **{"http": httpx.HTTPTransport(), **options})))


@asynccontextmanager
async def open_served_api(database_url: str, *, executes: bool) -> AsyncIterator[ServedApi]:
    """Serve an application with Orders and Families, with or without its executor."""
    async with open_api_harness(database_url, has_executor=executes) as api:
        app = api.app_harness.build_own_app().app
        requested: set[str] = set()

        @app.before_request
        async def record_endpoint() -> None:
            if request.url_rule is not None:
                requested.add(f"{request.method} {format_path_template(request.url_rule.rule)}")

        async with serve_app(app) as http:
            yield ServedApi(api, str(http.base_url), requested)


def _wrap_in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call_in_thread(*args: Any, **values: Any) -> Any:
        return await asyncio.to_thread(function, *args, **values)

    return call_in_thread
