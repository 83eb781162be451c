"""The hosts that a request may name: a web page that has taken the address 127.0.0.1 gets no response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from flowlet.errors import SettingsError
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown
from flowlet.web.app import create_app
from flowlet.web.server import create_listener, serve_web
from flowlet.web.services import EXTENSION_NAME
from tests.engine.executor_harness import wait_for
from tests.web.app_harness import AppHarness
from tests.web.test_hostile_connections import send_bytes

LOOPBACK_URL = "http://127.0.0.1:8080"
REFUSED, UNAUTHENTICATED = 421, 401


@asynccontextmanager
async def open_anonymous_client(
    app_harness: AppHarness, base_url: str, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of an application with these settings; the URL's host is the server's address."""
    changed = app_harness.services.settings.model_copy(update=settings)
    app: Any = app_harness.app
    app.extensions[EXTENSION_NAME] = replace(app_harness.services, settings=changed)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", UNAUTHENTICATED),
        ("127.3.2.1", UNAUTHENTICATED),
        ("localhost", UNAUTHENTICATED),
        ("localhost.", UNAUTHENTICATED),
        ("LocalHost:80", UNAUTHENTICATED),
        ("shop.localhost:8080", UNAUTHENTICATED),
        ("[::1]:8080", UNAUTHENTICATED),
        ("[::ffff:127.0.0.1]", UNAUTHENTICATED),
        ("evil.example", REFUSED),
        ("evil.example:8080", REFUSED),
        ("localhost.evil.example", REFUSED),
        ("127.0.0.1.evil.example", REFUSED),
        ("evillocalhost", REFUSED),
        ("localhost@evil.example", REFUSED),
        ("localhost:80:80", REFUSED),
        ("[::1", REFUSED),
        ("192.0.2.1", REFUSED),
        ("", REFUSED),
    ],
)
async def test_a_server_on_loopback_responds_only_to_names_of_this_machine(
    app_harness: AppHarness, host: str, status: int
) -> None:
    async with open_anonymous_client(app_harness, LOOPBACK_URL) as client:
        answer = await client.get("/api/viewer", headers={"Host": host, "X-Forwarded-Host": "localhost"})

    assert answer.status_code == status


async def test_the_refusal_is_a_problem_or_a_page_and_names_the_setting(app_harness: AppHarness) -> None:
    evil = {"Host": "<b>.evil.example"}
    async with open_anonymous_client(app_harness, LOOPBACK_URL) as client:
        problem = await client.get("/api/viewer", headers=evil)
        page = await client.get("/login", headers={**evil, "Accept": "text/html"})
        login = await client.post("/login", headers=evil, data={"username": "admin", "password": "admin"})
        style = await client.get("/static/nothing.css", headers=evil)

    assert (problem.json()["type"], problem.headers["content-type"]) == (
        "/problems/misdirected",
        "application/problem+json",
    )
    assert "FLOWLET_HOSTS" in problem.json()["detail"]
    assert "FLOWLET_PROXIES" in problem.json()["detail"]
    assert (page.status_code, login.status_code, style.status_code) == (REFUSED,) * 3
    assert "FLOWLET_HOSTS" in page.text
    assert "<b>" not in page.text
    assert "set-cookie" not in login.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_balancer_may_ask_by_any_name(app_harness: AppHarness, path: str) -> None:
    async with open_anonymous_client(app_harness, LOOPBACK_URL) as client:
        assert (await client.get(path, headers={"Host": "evil.example"})).status_code == 200


@pytest.mark.parametrize(
    ("settings", "address", "statuses"),
    [
        ({}, "http://192.0.2.1", [UNAUTHENTICATED, UNAUTHENTICATED, UNAUTHENTICATED]),
        ({"proxies": 1}, LOOPBACK_URL, [UNAUTHENTICATED, UNAUTHENTICATED, UNAUTHENTICATED]),
        ({"hosts": ("*",)}, LOOPBACK_URL, [UNAUTHENTICATED, UNAUTHENTICATED, UNAUTHENTICATED]),
        ({"hosts": ("flow.example",)}, "http://192.0.2.1", [UNAUTHENTICATED, REFUSED, UNAUTHENTICATED]),
        ({"hosts": ("flow.example",), "proxies": 1}, LOOPBACK_URL, [UNAUTHENTICATED, REFUSED, UNAUTHENTICATED]),
        ({"hosts": ("*.flow.example",)}, LOOPBACK_URL, [REFUSED, UNAUTHENTICATED, UNAUTHENTICATED]),
    ],
)
async def test_the_settings_and_the_address_say_which_hosts_are_permitted(
    app_harness: AppHarness, settings: Mapping[str, Any], address: str, statuses: list[int]
) -> None:
    async with open_anonymous_client(app_harness, address, **settings) as client:
        answers = [
            await client.get("/api/viewer", headers={"Host": host})
            for host in ("flow.example:443", "a.flow.example", "localhost")
        ]

    assert [one.status_code for one in answers] == statuses


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", b"421"), ("0.0.0.0", b"401")])
async def test_the_own_server_goes_by_the_address_on_which_it_listens(
    app_harness: AppHarness, address: str, status: bytes
) -> None:
    stop, listener = Shutdown(), create_listener(address, 0)
    port: int = listener.getsockname()[1]
    serving = asyncio.create_task(serve_web(create_app(app_harness.services), listener, stop=stop, grace_seconds=0))
    try:
        request = b"GET /api/me HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        named = await send_bytes(port, request)
        absent = await send_bytes(port, b"GET /api/me HTTP/1.0\r\n\r\n")
    finally:
        stop.request()
        await wait_for(serving)

    assert [named[9:12], absent[9:12]] == [status, status]


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("Flow.Example., *.Intern.example", ("flow.example", "*.intern.example")),
        ("bücher.example [::1] 10.0.0.7", ("xn--bcher-kva.example", "::1", "10.0.0.7")),
        ("*", ("*",)),
    ],
)
def test_hosts_are_read_as_browsers_send_them(given: str, hosts: tuple[str, ...]) -> None:
    assert Settings(hosts=given).hosts == hosts


@pytest.mark.parametrize("given", ["https://flow.example", "flow.example:443", "flow.example/x", "flow..example", "*."])
def test_what_is_no_host_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(SettingsError, match=r"hosts is .* such as example\.org"):
        Settings(hosts=given)
