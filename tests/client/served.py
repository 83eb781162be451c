"""An application on a real socket, and each of the two clients that speak to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from quart import request

from flowlet.client import AsyncClient, Client
from flowlet.web.openapi import template
from tests.web.api.office import Office, opened_office
from tests.web.served import served

__all__ = ["KINDS", "Shop", "connected", "opened_shop"]

KINDS = ("asynchronous", "synchronous")
_END = object()


@dataclass(frozen=True, slots=True)
class Shop:
    """An application that is served, and what has been asked of it, as "GET /api/users/{id}"."""

    office: Office
    url: str
    asked: set[str] = field(default_factory=set)

    def client(self, kind: str, *, role: str = "operator", **options: Any) -> AsyncClient:
        """Return a client with a key of this role."""
        return connected(kind, self.url, **{"key": self.office.probe.keys[role], **options})


class Threaded:
    """A synchronous client, or a part of one, as if it were asynchronous: each call runs in a thread."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        if name in ("users", "keys"):
            return Threaded(value)
        if name in ("events", "search_all"):
            return lambda *args, **values: ThreadedIterator(value(*args, **values))
        return _in_thread(value)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._part.close)

    async def __aenter__(self) -> Threaded:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


class ThreadedIterator:
    """What a synchronous client iterates over, as if it were asynchronous."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)

    def __aiter__(self) -> ThreadedIterator:
        return self

    async def __anext__(self) -> Any:
        found = await asyncio.to_thread(next, self._iterator, _END)
        if found is _END:
            raise StopAsyncIteration
        return found

    async def aclose(self) -> None:
        await asyncio.to_thread(self._iterator.close)

    async def __aenter__(self) -> ThreadedIterator:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


def connected(kind: str, url: str, **options: Any) -> AsyncClient:
    """Return a client of a server; of the synchronous one each call runs in a thread, so that both are tested alike."""
    # A transport of its own: a proxy of the environment is not asked for an address of this machine.
    if kind == "asynchronous":
        return AsyncClient(url, **{"http": httpx.AsyncHTTPTransport(), **options})
    return cast("AsyncClient", Threaded(Client(url, **{"http": httpx.HTTPTransport(), **options})))


@asynccontextmanager
async def opened_shop(database_url: str, *, executes: bool) -> AsyncIterator[Shop]:
    """Serve an application with Orders and Families, whose executor runs or does not."""
    async with opened_office(database_url, executes=executes) as office:
        app = office.probe.app
        asked: set[str] = set()

        @app.before_request
        async def note() -> None:
            if request.url_rule is not None:
                asked.add(f"{request.method} {template(request.url_rule.rule)}")

        async with served(app) as http:
            yield Shop(office, str(http.base_url), asked)


def _in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **values: Any) -> Any:
        return await asyncio.to_thread(function, *args, **values)

    return call
