"""An application with endpoints of the tests' own, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import Field
from quart import Blueprint, Quart, Response

from flowlet.engine.arrivals import Arrivals
from flowlet.engine.feed import Feed
from flowlet.logins import LoginLimiter
from flowlet.operations import Operations
from flowlet.registry import Registry
from flowlet.roles import Role
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.users import PasswordHashes, Users
from flowlet.web.answers import json_answer
from flowlet.web.app import create_app
from flowlet.web.guards import needs, principal, public
from flowlet.web.parsing import body, query
from flowlet.web.schemas import Body, Time
from flowlet.web.services import Services

__all__ = ["HOST", "Order", "Probe", "opened_probe"]

HOST = "http://flowlet.test"
PASSWORD = "correct horse"


class Address(Body):
    street_name: str = ""


class Order(Body):
    external_id: str = "none"
    next_activation: Time | None = None
    state_vars: dict[str, object] = Field(default_factory=dict)
    delivery: Address | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """An application on a database, and its keys by role."""

    app: Quart
    services: Services
    keys: dict[str, str]
    session: str

    def client(self, role: str | None = None, **headers: str) -> httpx.AsyncClient:
        """Return a client with the key of a role, or without one."""
        if role is not None:
            headers["X-API-Key"] = self.keys[role]
        # What the server does not answer as a problem is to fail the test.
        app: Any = self.app  # its own types of ASGI are narrower than httpx's
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url=HOST, headers=headers)

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """Return a client with a session of an admin."""
        return self.client(cookie=f"flowlet_session={self.session}", **headers)


@asynccontextmanager
async def opened_probe(
    url: str,
    *,
    trouble: Callable[[], Exception] | None = None,
    max_body: int = 4096,
    passwords: PasswordHashes | None = None,
) -> AsyncIterator[Probe]:
    """Open a database and an application on it; ``/api/trouble`` raises what is given."""
    async with open_store(url) as store:
        registry = Registry()
        users = Users(store, passwords=passwords)
        await users.create("ada", PASSWORD, Role.ADMIN, by="test")
        logged_in = await users.log_in("ada", PASSWORD)
        assert logged_in
        keys = {role.value: await users.keys.add("test", username="ada", role=role, by="test") for role in Role}
        services = Services(
            store=store,
            registry=registry,
            operations=Operations(store, registry),
            users=users,
            logins=LoginLimiter(store.clock),
            arrivals=Arrivals(store, store.clock),
            feed=Feed(store),
            executor=None,
            settings=Settings(database_url=url, max_body=max_body),
            started=store.clock.now(),
        )
        app = create_app(services)
        app.register_blueprint(_blueprint(trouble))
        yield Probe(app, services, {role: made.text for role, made in keys.items()}, logged_in[0])


def _blueprint(trouble: Callable[[], Exception] | None) -> Blueprint:
    blueprint = Blueprint("probe", __name__)

    @blueprint.get("/api/viewer")
    @needs(Role.VIEWER)
    async def view() -> Response:
        return json_answer({"username": principal().username, "role": principal().role})

    @blueprint.post("/api/operator")
    @needs(Role.OPERATOR)
    async def operate() -> Response:
        return json_answer({})

    @blueprint.delete("/api/admin")
    @needs(Role.ADMIN)
    async def administer() -> Response:
        return json_answer({})

    @blueprint.get("/api/forgotten")
    async def forgotten() -> Response:
        return json_answer({})

    @blueprint.post("/api/orders")
    @public
    async def order() -> Response:
        return json_answer(await body(Order))

    @blueprint.get("/api/orders")
    @public
    async def orders() -> Response:
        return json_answer([query(Order)])

    @blueprint.get("/api/trouble")
    @public
    async def raise_trouble() -> Response:
        assert trouble
        raise trouble()

    return blueprint
