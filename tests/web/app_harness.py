"""An application with endpoints of the tests' own, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any

import httpx
from jinja2.bccache import Bucket, BytecodeCache
from pydantic import Field
from quart import Blueprint, Quart, Response, current_app

from flowlet.accounts.passwords import PasswordHashing
from flowlet.accounts.roles import Role
from flowlet.assembly import build_engine
from flowlet.auth.login_limiter import LoginLimiter
from flowlet.auth.users import Users
from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.web.app import create_app
from flowlet.web.auth import allow_anonymous, get_principal, require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.parsing import read_body, read_query
from flowlet.web.schemas import RequestModel, Timestamp
from flowlet.web.services import EXTENSION_NAME, Services
from tests.accounts.password_hashes import CheapHashes
from tests.web.stored_users import store_users

__all__ = [
    "BASE_URL",
    "AppHarness",
    "AppServices",
    "Order",
    "borrow_app",
    "create_tested_app",
    "open_app_harness",
    "open_app_services",
]

BASE_URL = "http://flowlet.test"


class _CompiledTemplates(BytecodeCache):
    """Templates as Python code, which the applications of a process share: compiling them took longer than a test."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code
        self._codes[bucket.key, bucket.checksum] = bucket.code


_TEMPLATES = _CompiledTemplates()
_IDLE_APPS: list[Quart] = []
BUILD_ERROR = "build_error"


def create_tested_app(services: Services) -> Quart:
    """Return the web application of these services, with the tests' endpoints, for a test that changes it."""
    app = create_app(services)
    app.jinja_env.bytecode_cache = _TEMPLATES
    app.register_blueprint(_build_blueprint())
    return app


@contextmanager
def borrow_app(services: Services, *, build_error: Callable[[], Exception] | None = None) -> Iterator[Quart]:
    """Yield a web application of these services, which another test may have used with others.

    Its routes are the costly part: making them took half of the time of a short test.
    """
    app = _IDLE_APPS.pop() if _IDLE_APPS else create_tested_app(services)
    app.extensions |= {EXTENSION_NAME: services, BUILD_ERROR: build_error}
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body
    yield app
    _IDLE_APPS.append(app)


class Address(RequestModel):
    street_name: str = ""


class Order(RequestModel):
    external_id: str = "none"
    next_activation: Timestamp | None = None
    state_vars: dict[str, object] = Field(default_factory=dict)
    delivery: Address | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class AppHarness:
    """An application on a database, and its keys by role."""

    app: Quart
    services: Services
    keys: dict[str, str]
    session: str

    def build_own_app(self) -> AppHarness:
        """Return a harness whose application no other test uses, so that it may be changed."""
        return replace(self, app=create_tested_app(self.services))

    def open_client(self, role: str | None = None, **headers: str) -> httpx.AsyncClient:
        """Return a client with the key of a role, or without one."""
        if role is not None:
            headers["X-API-Key"] = self.keys[role]
        # What the server does not answer as a problem is to fail the test.
        app: Any = self.app  # its own types of ASGI are narrower than httpx's
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)

    def open_admin_browser(self, **headers: str) -> httpx.AsyncClient:
        """Return a client with a session of an admin."""
        return self.open_client(cookie=f"flowlet_session={self.session}", **headers)


@dataclass(frozen=True, slots=True)
class AppServices:
    """The services of an application, an API key for each role, and sessions by the username."""

    services: Services
    keys: dict[str, str]
    sessions: dict[str, str]


@asynccontextmanager
async def open_app_services(
    url: str,
    *,
    max_body_bytes: int = 4096,
    passwords: PasswordHashing | None = None,
    roles: Mapping[str, Role] | None = None,
    logged_in: Collection[str] = (),
) -> AsyncIterator[AppServices]:
    """Open a database with users, as ``store_users`` does, and the services of an application on it.

    Hashes of passwords are cheap where no others are given.
    """
    async with open_store(url) as store:
        engine = build_engine(store, Registry())
        passwords = passwords or CheapHashes()
        stored = await store_users(store, passwords, roles or {}, logged_in=logged_in)
        services = Services(
            store=store,
            registry=engine.registry,
            operations=engine.operations,
            users=Users(store, passwords=passwords),
            login_limiter=LoginLimiter(store.clock),
            waiters=engine.waiters,
            event_broadcaster=engine.event_broadcaster,
            executor=None,
            settings=Settings(database_url=url, max_body=max_body_bytes),
            started=store.clock.now(),
        )
        try:
            yield AppServices(services, stored.keys, stored.sessions)
        finally:
            await engine.close()


@asynccontextmanager
async def open_app_harness(
    url: str, *, build_error: Callable[[], Exception] | None = None, max_body_bytes: int = 4096
) -> AsyncIterator[AppHarness]:
    """Open a database and an application on it; ``/api/trouble`` raises the given error."""
    async with open_app_services(url, max_body_bytes=max_body_bytes) as behind:
        with borrow_app(behind.services, build_error=build_error) as app:
            yield AppHarness(app, behind.services, behind.keys, behind.sessions["ada"])


def _build_blueprint() -> Blueprint:
    blueprint = Blueprint("probe", __name__)

    @blueprint.get("/api/viewer")
    @require_role(Role.VIEWER)
    async def show_viewer() -> Response:
        return build_json_response({"username": get_principal().username, "role": get_principal().role})

    @blueprint.post("/api/operator")
    @require_role(Role.OPERATOR)
    async def run_operator() -> Response:
        return build_json_response({})

    @blueprint.delete("/api/admin")
    @require_role(Role.ADMIN)
    async def delete_admin() -> Response:
        return build_json_response({})

    @blueprint.get("/api/forgotten")
    async def show_unguarded() -> Response:
        return build_json_response({})

    @blueprint.post("/api/orders")
    @allow_anonymous
    async def create_order() -> Response:
        return build_json_response(await read_body(Order))

    @blueprint.get("/api/orders")
    @allow_anonymous
    async def list_orders() -> Response:
        return build_json_response([read_query(Order)])

    @blueprint.get("/api/trouble")
    @allow_anonymous
    async def raise_trouble() -> Response:
        build_error: Callable[[], Exception] = current_app.extensions[BUILD_ERROR]
        raise build_error()

    return blueprint
