"""A prefix: no page leads out of it, and only a trusted proxy names one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.web.embedding.embedded_console import WORKFLOW, build_flow, list_addresses, log_in, open_served

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def mount(application: Any, root_path: str, *, is_included: bool = True) -> Asgi:
    """Return an application mounted below a root path, which paths include, as ASGI says, or do not."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path = scope["path"] if is_included else scope["path"].removeprefix(root_path)
            scope = {**scope, "root_path": root_path, "path": path}
        await application(scope, receive, send)

    return serve


@asynccontextmanager
async def open_proxied(url: str, prefix: str, *, proxies: int = 1) -> AsyncIterator[httpx.AsyncClient]:
    """Open an application behind a proxy that has removed a prefix."""
    async with open_served(build_flow(url, proxies=proxies), **{"X-Forwarded-Prefix": prefix}) as client:
        yield client


async def test_no_page_of_the_console_leads_out_of_the_prefix(sqlite_url: str) -> None:
    flow = build_flow(sqlite_url)
    async with open_served(mount(flow, "/a b")) as client:
        await log_in(client, "/a%20b")
        await flow.start_and_wait(WORKFLOW, states="decide")
        seen, waiting = set[str](), ["/a%20b/"]
        while waiting:
            path = waiting.pop().partition("#")[0].replace("&amp;", "&")
            if path in seen or "/api/" in path or "after=" in path or len(seen) > 200:
                continue
            seen.add(path)
            page = await client.get(path)
            assert not page.is_server_error, path
            if page.headers["content-type"].startswith("text/html"):
                found = list_addresses(page)
                assert not [address for address in found if not address.startswith("/a%20b/")], path
                waiting += found

    kinds = {path.split("/")[2].partition("?")[0] for path in seen}
    assert kinds >= {
        "",
        "workflows",
        "inbox",
        "errors",
        "definitions",
        "schedules",
        "executors",
        "users",
        "keys",
        "docs",
    }
    assert kinds >= {"settings", "account", "start", "static"}


@pytest.mark.parametrize("is_included", [True, False])
async def test_the_root_path_of_a_server_may_or_may_not_be_part_of_the_path(sqlite_url: str, is_included: bool) -> None:
    async with open_served(mount(build_flow(sqlite_url), "/flow", is_included=is_included)) as client:
        logged_in = await log_in(client, "/flow")
        document = (await client.get("/flow/openapi.json")).json()
        missing = await client.get("/flow/nothing")
        entrance = await client.get("/flow")

    assert logged_in.headers["location"] == "/flow/workflows"
    assert document["servers"][0]["url"] == "/flow"
    assert missing.status_code == 404
    assert entrance.status_code == 200


@pytest.mark.parametrize("root_path", ["/", "//"])
async def test_a_root_path_of_slashes_is_none(sqlite_url: str, root_path: str) -> None:
    async with open_served(mount(build_flow(sqlite_url), root_path)) as client:
        await log_in(client, "")
        entrance = await client.get("/")

    assert entrance.status_code == 200


async def test_a_trusted_proxy_names_the_prefix_that_it_removed(sqlite_url: str) -> None:
    async with open_proxied(sqlite_url, "/outer, /shop/flow/") as client:
        entrance = await client.get("/workflows?status=NEW")
        page = await client.get("/login")
        reloaded = await client.get("/workflows/12/answer")
        tab = str(client.base_url.join("/shop/flow/workflows/12?tab=variables"))
        sent = await client.post("/workflows/12/variables", data={}, headers={"Referer": tab})

    assert entrance.headers["location"] == "/shop/flow/login?next=%2Fworkflows%3Fstatus%3DNEW"
    assert reloaded.headers["location"] == "/shop/flow/workflows/12"
    assert sent.headers["location"] == "/shop/flow/login?next=%2Fworkflows%2F12%3Ftab%3Dvariables"
    assert all(address.startswith("/shop/flow/") for address in list_addresses(page))


async def test_the_prefix_of_a_proxy_comes_before_that_of_the_framework(sqlite_url: str) -> None:
    for root_path in ("/flow", "/shop/flow"):
        flow = build_flow(sqlite_url, proxies=1)
        async with open_served(mount(flow, root_path), **{"X-Forwarded-Prefix": "/shop"}) as client:
            entrance = await client.get(f"{root_path}/inbox")

        assert entrance.headers["location"] == "/shop/flow/login?next=%2Finbox"


@pytest.mark.parametrize(
    ("prefix", "proxies"),
    [
        ("/shop", 0),
        ("shop", 1),
        ("https://elsewhere.test", 1),
        ('/"><script>', 1),
        ("/a\\b", 1),
        ("//elsewhere.test", 1),
    ],
)
async def test_any_other_prefix_of_a_request_is_ignored(sqlite_url: str, prefix: str, proxies: int) -> None:
    async with open_proxied(sqlite_url, prefix, proxies=proxies) as client:
        entrance = await client.get("/inbox")

    assert entrance.headers["location"] == "/login?next=%2Finbox"


@pytest.mark.parametrize("root_path", ["//elsewhere.test", '/"><script>alert(1)</script>', "/a\r\nSet-Cookie: b=c"])
async def test_a_hostile_root_path_is_no_more_than_a_path(sqlite_url: str, root_path: str) -> None:
    async with open_served(mount(build_flow(sqlite_url), root_path, is_included=False)) as client:
        page, entrance = await client.get("/login"), await client.get("/inbox")

    assert "<script>alert" not in page.text
    assert not entrance.headers["location"].startswith("//")
    assert "set-cookie" not in entrance.headers
